"""Extraction on a real Ray, through the command line."""

import json
import os
import struct
import subprocess
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from cosa.data.shard_writing import clips_in
from cosa.data.stored_frames import StoredFrames
from tests.cosa.data.drawn_videos import make_video
from tests.end_to_end.commands import Done, command, command_line_of, run, sets
from workflows.execution.clip_extraction import Clip
from workflows.execution.clip_watchdog import NOTES_FOLDER, ClipWatchdog, forget_task, note_clip
from workflows.execution.frame_extraction import _Extraction, batches
from workflows.results.layout import CLIPS_LIST, CLIPS_TABLE, FRAMES_TABLE

SPEC = """\
name: clips
datasets: {c: {media: video, root: clips, splits: {train: train.json}}}
stages: {frames: {kind: extract, dataset: c, fps: 4}}
"""


def written(folder: Path, clips: list[str]) -> Path:
    (folder / "clips").mkdir(exist_ok=True)
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    entries = [{"video_id": clip, "desc": "x"} for clip in clips]
    (folder / "train.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder / "clips"


def extracted(folder: Path, *overrides: str) -> Done:
    return run("run-experiment", "spec.yaml", *sets(*overrides), cwd=folder, timeout=300)


def slow_gif(path: Path, side: int, frames: int) -> None:
    """Some kilobytes that take many seconds to decode and to store."""
    size = struct.pack("<HH", side, side)
    frame = b"!\xf9\4\0\x0a\0\0\0," + bytes(4) + size + b"\0\2\2\x44\1\0"
    path.write_bytes(b"GIF89a" + size + b"\x80\0\0" + bytes(6) + frame * frames + b";")


@pytest.mark.slow
def test_a_clip_that_takes_too_long_is_named_and_the_others_are_extracted(tmp_path: Path) -> None:
    """Beside it stand a clip in a folder of another's name, and a pipe that nobody writes to."""
    clips = written(tmp_path, ["yoga/1", "hangs", "yoga"])
    (clips / "yoga").mkdir()
    make_video(clips / "yoga.mp4", frames=20)
    make_video(clips / "yoga" / "1.mp4", frames=30)
    slow_gif(clips / "hangs.gif", 5000, 150)
    first = extracted(tmp_path, "stages.frames.seconds_per_clip=4")
    assert first.code == 1
    assert "1 of 3 clips took longer than 4 s to decode (hangs)" in first.output
    assert "stages.frames.seconds_per_clip" in first.output
    assert "Traceback" not in first.output
    [partial] = (tmp_path / "storage" / "clips" / "frames").glob("*.partial")
    kinds = pd.read_csv(partial / CLIPS_TABLE, sep="\t", keep_default_na=False).set_index("video_id")["kind"].to_dict()
    assert kinds == {"hangs": "too slow", "yoga": "", "yoga/1": ""}
    written_before = {path: path.stat().st_mtime_ns for path in (tmp_path / "storage" / ".frames").glob("*/[!.]*/*.jpg")}
    assert len(written_before) == 8 + 12
    # The limit is no part of the fingerprint: the same work continues.
    slow_gif(clips / "hangs.gif", 5000, 150)
    second = extracted(tmp_path, "stages.frames.seconds_per_clip=300")
    assert second.code == 0, second.output
    [result] = (path for path in (tmp_path / "storage" / "clips" / "frames").iterdir() if path.is_dir())
    assert {path: path.stat().st_mtime_ns for path in written_before} == written_before
    assert "2 extracted before" in second.output
    frames = StoredFrames.read(result / "clips.arrow")
    counts = {"yoga": 8, "yoga/1": 12, "hangs": 60}
    assert {clip: len(frames.files(clip)) for clip in counts} == counts
    assert {clip: len(list((result / "frames" / clip).glob("*.jpg"))) for clip in counts} == counts
    assert {path.name for path in result.iterdir()} == {
        CLIPS_LIST,
        CLIPS_TABLE,
        "contents.json",
        "frames",
        FRAMES_TABLE,
        "manifest.json",
        "unreadable.txt",
    }


def kill_extractors(driver: subprocess.Popen[str], folder: Path, clip: str, count: int) -> None:
    """Kill so many processes that extract a clip, one after the other, when the other clips are done."""
    killed: set[int] = set()
    deadline = time.monotonic() + 200
    while len(killed) < count and time.monotonic() < deadline:
        begun = []
        for note in folder.glob(f"storage/clips/frames/*.partial/{NOTES_FOLDER}/*"):
            with suppress(FileNotFoundError):
                begun.append(note.read_text())
        left = psutil.Process(driver.pid).children(recursive=True)
        left = [
            process for process in left if process.pid not in killed and command_line_of(process).startswith("ray::extract")
        ]
        if begun == [clip] and len(left) == 1:
            left[0].kill()
            killed.add(left[0].pid)
        time.sleep(0.05)
    assert len(killed) == count


@pytest.mark.slow
def test_a_clip_that_crashes_its_decoder_is_named_and_the_others_are_extracted(tmp_path: Path) -> None:
    """Ray starts the task again twice: the process may have been killed by chance."""
    clips = written(tmp_path, ["crashes", "a", "b"])
    make_video(clips / "a.mp4", frames=20)
    make_video(clips / "b.mp4", frames=30)
    slow_gif(clips / "crashes.gif", 5000, 150)
    with subprocess.Popen(
        command("run-experiment", "spec.yaml"), cwd=tmp_path, env={**os.environ, "COLUMNS": "160"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as driver:  # fmt: skip
        try:
            kill_extractors(driver, tmp_path, "crashes", 3)
            output, _ = driver.communicate(timeout=200)
        finally:
            driver.terminate()
    assert driver.returncode == 1, output
    assert "1 of 3 clips could not be decoded, because the decoder crashed or its process was killed (crashes)" in output
    assert "take them out of the annotations" in output
    assert "Traceback" not in output
    entries = [path for path in (tmp_path / "storage" / ".frames").glob("*/[!.]*") if path.is_dir()]
    assert sorted(len(list(entry.glob("*.jpg"))) for entry in entries) == [8, 12]


def test_the_watchdog_knows_what_a_task_works_on_and_since_when(tmp_path: Path) -> None:
    watchdog = ClipWatchdog(tmp_path, seconds=0.0)
    note_clip(watchdog.folder, 3, "café/1")
    assert watchdog.overdue() == {}
    watchdog.look()
    assert watchdog.overdue() == {3: "café/1"}
    assert (watchdog.noted(3), watchdog.noted(4)) == ("café/1", None)
    assert watchdog.slowest(0.0) == "café/1"
    assert watchdog.slowest(60.0) is None
    watchdog.seconds = 60.0
    note_clip(watchdog.folder, 3, "b")
    watchdog.look()
    assert watchdog.overdue() == {}
    forget_task(watchdog.folder, 3)
    watchdog.look()
    assert watchdog.slowest(0.0) is None
    watchdog.close()
    assert list(tmp_path.iterdir()) == []


def test_pipes_among_clips_or_annotations_do_not_block_a_plan(tmp_path: Path) -> None:
    clips = written(tmp_path, ["a"])
    make_video(clips / "a.mp4")
    os.mkfifo(clips / "pipe\x1b[31m")
    done = run("plan", "spec.yaml", cwd=tmp_path, timeout=60)
    assert done.code == 1
    assert r"clips/pipe\x1b[31m is a pipe (FIFO), not a file; remove it, or put a file in its place" in done.output


def clip(number: int, content: str = "") -> Clip:
    return Clip(f"v{number}", f"v{number}.mp4", content or str(number))


def test_tasks_have_even_shares_and_copies_of_a_clip_stay_together() -> None:
    clips = [clip(number) for number in range(1000)]
    assert [len(batch) for batch in batches(clips, 2)] == [16] * 62 + [8]
    assert [len(batch) for batch in batches(clips[:24], 2)] == [3] * 8
    assert [len(batch) for batch in batches(clips[:3], 8)] == [1, 1, 1]
    assert list(batches([], 2)) == []
    same = [clip(number, str(number // 5)) for number in range(20)]
    assert [len(batch) for batch in batches(same, 2)] == [5, 5, 5, 5]


def test_a_few_tasks_are_in_flight_however_many_clips_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import ray

    in_flight: dict[int, list[Clip]] = {}
    most: list[int] = []

    class Remote:
        def remote(self, clips: list[Clip], *rest: Any) -> int:
            in_flight[rest[-1]] = clips
            most.append(len(in_flight))
            return int(rest[-1])

    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0})
    monkeypatch.setattr(ray, "wait", lambda references, **_: ([references[-1]], references[:-1]))
    monkeypatch.setattr(ray, "get", lambda reference: ([{"video_id": one.video_id} for one in in_flight.pop(reference)], None))
    work = _Extraction.__new__(_Extraction)
    work.watchdog, work.hung, work.crashed = ClipWatchdog(tmp_path, 60.0), [], []
    work._remote, work._options, work._waiting, work._pending, work._started = Remote(), (), deque(), {}, 0
    work._owner, work._free = None, []
    done = [record["video_id"] for records in work.run([clip(number) for number in range(1000)]) for record in records]
    assert sorted(done) == sorted(f"v{number}" for number in range(1000))
    assert max(most) == 6


@pytest.mark.slow
@pytest.mark.parametrize("output", ["files", "tar"])
def test_a_killed_extraction_leaves_nothing_half_done_and_does_nothing_twice(tmp_path: Path, output: str) -> None:
    names = [f"v{number:02d}" for number in range(40)]
    clips = written(tmp_path, names)
    for number, name in enumerate(names):
        make_video(clips / f"{name}.mp4", frames=40 + number, size=(320, 240), noise=True)
    store, setting = tmp_path / "storage" / ".frames", f"stages.frames.output={output}"
    with subprocess.Popen(
        command("run-experiment", "spec.yaml", *sets(setting)), cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as driver:
        deadline = time.monotonic() + 200
        while len(list(store.glob("??/[!.]*"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        processes = [*psutil.Process(driver.pid).children(recursive=True), psutil.Process(driver.pid)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    before = {path: path.stat().st_mtime_ns for path in store.glob("??/[!.]*/*")}
    assert 4 <= len(list(store.glob("??/[!.]*"))) < 40
    again = extracted(tmp_path, setting)
    assert again.code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    [result] = (path for path in (tmp_path / "storage" / "clips" / "frames").iterdir() if path.is_dir())
    frames = StoredFrames.read(result / "clips.arrow")
    assert frames.damage() is None
    assert {name: len(frames.files(name)) for name in names} == {name: round((40 + n) * 0.4) for n, name in enumerate(names)}
    assert len(list(store.glob("??/[!.]*/frames.tar"))) == (40 if output == "tar" else 0)
    # A clip that is added later does not touch the others.
    make_video(clips / "new.mp4", frames=30)
    (tmp_path / "train.json").write_text(json.dumps([{"video_id": clip, "desc": "x"} for clip in [*names, "new"]]))
    before = {path: path.stat().st_mtime_ns for path in store.glob("??/[!.]*/*")}
    more = extracted(tmp_path, setting)
    assert "40 extracted before" in more.output
    assert {path: path.stat().st_mtime_ns for path in before} == before


def shards_in(store: Path) -> dict[Path, list[str]]:
    """The clips in the shards of a store, twice those that are there twice."""
    found = {}
    for path in store.glob("shards/*/*/frames.tar"):
        with path.open("rb") as file:
            found[path] = [one.clip for one in clips_in(file, read_all=True)]
    return found


@pytest.mark.slow
def test_a_killed_extraction_to_shards_repeats_only_the_clips_in_flight(tmp_path: Path) -> None:
    names = [f"v{number:02d}" for number in range(40)]
    clips = written(tmp_path, names)
    for number, name in enumerate(names):
        make_video(clips / f"{name}.mp4", frames=40 + number, size=(320, 240), noise=True)
    store, setting = tmp_path / "storage" / ".frames", "stages.frames.output=shards"
    for done in (4, 16):  # killed twice
        with subprocess.Popen(
            command("run-experiment", "spec.yaml", *sets(setting)), cwd=tmp_path, stdout=subprocess.DEVNULL
        ) as driver:
            deadline = time.monotonic() + 200
            while sum(map(len, shards_in(store).values())) < done and time.monotonic() < deadline:
                time.sleep(0.02)
            processes = [*psutil.Process(driver.pid).children(recursive=True), psutil.Process(driver.pid)]
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        before = shards_in(store)
        assert done <= sum(map(len, before.values())) < 40
    again = extracted(tmp_path, setting)
    assert again.code == 0, again.output
    after = shards_in(store)
    assert {path: after[path][: len(found)] for path, found in before.items()} == before
    stored = [clip for found in after.values() for clip in found]
    assert len(stored) == len(set(stored)) == 40
    assert f"{sum(map(len, before.values()))} extracted before" in again.output
    assert all((path.parent / "clips.arrow").is_file() for path in after)
    [result] = (path for path in (tmp_path / "storage" / "clips" / "frames").iterdir() if path.is_dir())
    frames = StoredFrames.read(result / CLIPS_LIST)
    assert frames.damage() is None
    assert {name: len(frames.files(name)) for name in names} == {name: round((40 + n) * 0.4) for n, name in enumerate(names)}
    assert {path.resolve() for path in (result / "frames").iterdir()} == {path.resolve() for path in after}
    table = pd.read_csv(result / CLIPS_TABLE, sep="\t", keep_default_na=False)
    holds = {clip: path.parent.name for path, found in after.items() for clip in found}
    assert dict(zip(table["clip"], table["shard"], strict=True)) == holds
    # A clip that is added later does not touch the others, and all are found whatever the output is.
    make_video(clips / "new.mp4", frames=30)
    (tmp_path / "train.json").write_text(json.dumps([{"video_id": clip, "desc": "x"} for clip in [*names, "new"]]))
    before = {path: path.stat().st_mtime_ns for path in store.glob("shards/*/*/*")}
    more = extracted(tmp_path, setting)
    assert "40 extracted before" in more.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sum(map(len, shards_in(store).values())) == 41
    forced = run("run-experiment", "spec.yaml", "--force", "frames", cwd=tmp_path, timeout=300)
    assert "all extracted before" in forced.output, "all of it was read through, and is intact"
    assert run("verify", "--storage", "storage", cwd=tmp_path).code == 0
    # One bit is noticed, and --force extracts that clip again.
    damaged = next(path for path, found in after.items() if len(found) > 1)
    content = bytearray(damaged.read_bytes())
    content[700] ^= 1
    damaged.write_bytes(content)
    verified = run("verify", "--storage", "storage", cwd=tmp_path)
    assert (verified.code, "frames.tar is not the frame that extraction wrote" in verified.output) == (1, True)
    mended = run("run-experiment", "spec.yaml", "--force", "frames", *sets(setting), cwd=tmp_path, timeout=300)
    assert "40 extracted before" in mended.output
    # The results before it list the damaged shard; without them nothing needs it that has no other clip in use.
    assert run("clean", "--storage", "storage", "--yes", cwd=tmp_path).code == 0
    assert damaged.exists(), "its other clips are used"
    assert run("verify", "--storage", "storage", cwd=tmp_path).code == 0
