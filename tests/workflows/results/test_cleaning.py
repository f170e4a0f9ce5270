"""What nothing needs is removed, and nothing else; a kill in between leaves complete results."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosa.data.frame_writers import ShardFrames
from cosa.data.shard_lookup import ShardLookup
from cosa.data.shard_writing import ShardState, ShardWriter, make_complete
from cosa.data.stored_frames import StoredFrames
from tests.workflows.results.stored import DAY, EPOCH, stored
from workflows.results.cleaning import Choice, Cleaning, remove, what_to_remove, with_same_paths
from workflows.results.current import note_current
from workflows.results.locks import exclusive
from workflows.results.storage import lock_file
from workflows.results.uses import cleaning

ANY = Choice()


def chain(root: Path, number: int, *, day: float) -> None:
    """Publish results of data, a training and a test, each made from the one before."""
    stored(root, "demo/data", f"data{number}", day=day, clips={"v1": "aa11", f"own{number}": f"bb{number}"})
    stored(root, "demo/train", f"train{number}", day=day + 0.1, inputs={"data": f"data{number}"})
    stored(root, "demo/test", f"test{number}", day=day + 0.2, inputs={"data": f"data{number}", "train": f"train{number}"})


def names(found: Cleaning, root: Path) -> list[str]:
    return [str(item.path.relative_to(root)) for item in found.removable]


def results_in(root: Path) -> set[str]:
    return {path.name for path in root.glob("[!.]*/[!.]*/*")}


def test_results_that_nothing_newest_is_made_from(tmp_path: Path) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    found = what_to_remove(tmp_path, {}, ANY)
    assert names(found, tmp_path) == ["demo/test/test1", "demo/train/train1", "demo/data/data1", ".frames/bb/bb1-fps4"]
    assert found.left == ()


def test_what_the_newest_run_uses_stays_although_it_is_older_and_so_do_results_made_since(tmp_path: Path) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    chain(tmp_path, 3, day=(time.time() - EPOCH) / DAY + 1)
    note_current(tmp_path / "demo", {"data": "data1", "train": "train1", "test": "test1"}, "", "s.yaml")
    found = names(what_to_remove(tmp_path, {}, ANY), tmp_path)
    assert [name for name in found if not name.startswith(".")] == ["demo/test/test2", "demo/train/train2", "demo/data/data2"]


def test_an_older_input_of_another_experiment_stays(tmp_path: Path) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    stored(tmp_path, "other/test", "use", day=3, inputs={"model": "train1"})
    found = what_to_remove(tmp_path, {}, Choice(experiment="demo"))
    assert names(found, tmp_path) == ["demo/test/test1"], "train1 is needed, and data1 by it"


def test_what_a_run_or_a_lock_holds_stays_with_all_that_it_was_made_from(tmp_path: Path) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    used = what_to_remove(tmp_path, {"train1": "process 7 on vm"}, ANY)
    assert names(used, tmp_path) == ["demo/test/test1"]
    assert used.left == ("demo/train train1 is used by process 7 on vm",)
    with exclusive(lock_file(tmp_path, "test1"), "it"):
        locked = what_to_remove(tmp_path, {}, ANY)
    assert names(locked, tmp_path) == []
    assert locked.left[0].startswith(f"demo/test test1 is used by process {os.getpid()}")


def test_what_mlflow_still_has_to_get_stays(tmp_path: Path) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    (tmp_path / "demo/test/test1/unrecorded.json").write_text("{}")
    found = what_to_remove(tmp_path, {}, ANY)
    assert names(found, tmp_path) == []
    assert "is not in MLflow yet" in found.left[0]


def test_a_damaged_result_does_not_make_an_intact_one_superseded(tmp_path: Path) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    (tmp_path / "demo/test/test2/manifest.json").write_text("{")
    found = what_to_remove(tmp_path, {}, ANY)
    assert "demo/test/test1" not in names(found, tmp_path)
    assert "demo/train/train1" not in names(found, tmp_path)
    stored(tmp_path, "demo/test", "test3", day=3)
    found = what_to_remove(tmp_path, {}, ANY)
    assert "demo/test/test1" in names(found, tmp_path)
    assert any("test2" in line and "remove it yourself" in line for line in found.left)


def test_unfinished_work_and_what_was_set_aside(tmp_path: Path) -> None:
    folder = stored(tmp_path, "demo/train", "abc")
    for name in ("def.partial", ".abc.replaced", ".ghi.of-changed-data"):
        (folder.parent / name).mkdir()
        (folder.parent / name / "file").write_text("x")
    shutil.copytree(folder, folder.with_name(".jkl.replaced"))  # The only one of its fingerprint: it is the result.
    found = what_to_remove(tmp_path, {}, ANY)
    assert names(found, tmp_path) == [f"demo/train/{name}" for name in ("def.partial", ".abc.replaced", ".ghi.of-changed-data")]
    used = what_to_remove(tmp_path, {"def": "process 7 on vm"}, ANY)
    assert "demo/train/def.partial" not in names(used, tmp_path)
    assert used.left == ("demo/train/def.partial is used by process 7 on vm",)


def test_age(tmp_path: Path) -> None:
    for number, day in enumerate((0, 5, 9)):
        stored(tmp_path, "demo/train", f"train{number}", day=day)
    young = tmp_path / "demo/train/new.partial"
    young.mkdir()
    (young / "file").write_text("x")
    os.utime(young / "file", (EPOCH + 4 * DAY,) * 2)
    older = Choice(written_before=EPOCH + 3 * DAY)
    assert names(what_to_remove(tmp_path, {}, older), tmp_path) == ["demo/train/train0"]
    older = Choice(written_before=EPOCH + 4.5 * DAY)
    assert names(what_to_remove(tmp_path, {}, older), tmp_path) == ["demo/train/train0", "demo/train/new.partial"]


def test_frames_stay_while_somebody_may_need_them(tmp_path: Path) -> None:
    folder = stored(tmp_path, "demo/frames", "abc", clips={"v1": "aa11"})
    lost = tmp_path / ".frames/bb/bb22-fps4"
    lost.mkdir(parents=True)
    assert names(what_to_remove(tmp_path, {}, ANY), tmp_path) == [".frames/bb/bb22-fps4"]
    busy = what_to_remove(tmp_path, {"yet-to-be-made": "process 7 on vm"}, ANY)
    assert names(busy, tmp_path) == []
    assert busy.left == ("frames of 1 clips, which no result lists, are left: process 7 on vm may be extracting some",)
    assert names(what_to_remove(tmp_path, {"abc": "process 7 on vm"}, ANY), tmp_path) == [".frames/bb/bb22-fps4"]
    (tmp_path / "demo/frames/def.partial").mkdir()
    recent = what_to_remove(tmp_path, {}, Choice(written_before=EPOCH))
    assert names(recent, tmp_path) == []
    (tmp_path / "demo/frames/def.partial").rmdir()
    (folder / "clips.arrow").write_text("{")
    unknown = what_to_remove(tmp_path, {}, ANY)
    assert names(unknown, tmp_path) == []
    assert "the list of demo/frames abc cannot be read" in unknown.left[0]


def test_of_one_experiment_only_the_frames_that_it_alone_listed(tmp_path: Path) -> None:
    stored(tmp_path, "demo/frames", "old", clips={"v1": "aa11", "v2": "bb22"})
    stored(tmp_path, "demo/frames", "new", day=1, clips={"v3": "cc33"})
    stored(tmp_path, "other/frames", "abc", clips={"v1": "aa11"})
    (tmp_path / ".frames/dd/dd44-fps4").mkdir(parents=True)
    found = what_to_remove(tmp_path, {}, Choice(experiment="demo"))
    assert names(found, tmp_path) == ["demo/frames/old", ".frames/bb/bb22-fps4"]
    assert names(what_to_remove(tmp_path, {}, Choice(experiment="other")), tmp_path) == []


def test_frames_that_are_being_written_stay_for_a_day(tmp_path: Path) -> None:
    writing = tmp_path / ".frames/bb/.bb22-fps4.partial-1"
    writing.mkdir(parents=True)
    assert names(what_to_remove(tmp_path, {}, ANY), tmp_path) == []
    os.utime(writing, (time.time() - 2 * DAY,) * 2)
    assert names(what_to_remove(tmp_path, {}, ANY), tmp_path) == [".frames/bb/.bb22-fps4.partial-1"]


def shard(root: Path, name: str, clips: list[str]) -> Path:
    """A complete shard of frames that hold nothing."""
    writer = ShardWriter.open(root / ".frames/shards/fps4", ShardState(name))
    assert writer is not None
    for clip in clips:
        ShardFrames(writer, clip).complete(clip, "fps4", {})
    writer.close()
    make_complete(writer.folder)
    return writer.folder


def list_clips(root: Path, result: Path, clips: dict[str, str]) -> None:
    """Make a result list clips that shards hold."""
    lookup = ShardLookup(root / ".frames/shards/fps4")
    places = {clip: place for clip in clips.values() if (place := lookup.place(clip)) is not None}
    StoredFrames.of(root / ".frames", "fps4", clips, places).write(result / "clips.arrow")


def test_a_shard_goes_when_none_of_its_clips_is_listed(tmp_path: Path) -> None:
    for name, clips in (("s1", ["aa11", "bb22"]), ("s2", ["cc33"]), ("s3", ["dd44"])):
        shard(tmp_path, name, clips)
    old, new = (stored(tmp_path, "demo/frames", name, day=day) for day, name in enumerate(("old", "new")))
    list_clips(tmp_path, old, {"v1": "aa11", "v3": "cc33"})
    list_clips(tmp_path, new, {"v2": "bb22"})
    shards = ".frames/shards/fps4"
    assert names(what_to_remove(tmp_path, {}, ANY), tmp_path) == ["demo/frames/old", f"{shards}/s2", f"{shards}/s3"]
    of_experiment = what_to_remove(tmp_path, {}, Choice(experiment="demo"))
    assert names(of_experiment, tmp_path) == ["demo/frames/old", f"{shards}/s2"]
    busy = what_to_remove(tmp_path, {"yet-to-be-made": "process 7 on vm"}, ANY)
    assert busy.left == ("frames in 2 shards, which no result lists, are left: process 7 on vm may be extracting some",)
    assert remove(tmp_path, what_to_remove(tmp_path, {}, ANY).removable, lambda folder: None) == []
    assert [path.name for path in (tmp_path / shards).iterdir()] == ["s1"]
    assert StoredFrames.read(new / "clips.arrow").files("v2") == []


def test_a_shard_that_is_being_written_stays_for_a_day(tmp_path: Path) -> None:
    folder = shard(tmp_path, "s1", ["aa11"])
    (folder / "clips.arrow").unlink()
    assert names(what_to_remove(tmp_path, {}, ANY), tmp_path) == []
    os.utime(folder / "frames.tar", (time.time() - 2 * DAY,) * 2)
    assert names(what_to_remove(tmp_path, {}, ANY), tmp_path) == [".frames/shards/fps4/s1"]


@pytest.mark.parametrize("folder", ["annotations", "shards"])
def test_what_was_read_of_data_and_nobody_has_used_for_a_month_goes(tmp_path: Path, folder: str) -> None:
    cached = tmp_path / ".cache" / folder
    for name, days in (("new", 0.0), ("used", 20.0), ("old", 40.0), (".begun", 0.0), (".left", 2.0)):
        (cached / name).mkdir(parents=True)
        (cached / name / "rows.arrow").touch()
        os.utime(cached / name, (time.time() - days * DAY,) * 2)
    (cached / ".old.lock").touch()
    assert names(what_to_remove(tmp_path, {}, ANY), tmp_path) == [f".cache/{folder}/.left", f".cache/{folder}/old"]
    assert names(what_to_remove(tmp_path, {}, Choice(written_before=time.time() - 30 * DAY)), tmp_path) == [
        f".cache/{folder}/old"
    ]
    assert names(what_to_remove(tmp_path, {}, Choice(experiment="demo")), tmp_path) == []
    assert names(what_to_remove(tmp_path, {"any": "process 7 on vm"}, ANY), tmp_path) == []
    with cleaning(tmp_path):
        assert remove(tmp_path, what_to_remove(tmp_path, {}, ANY).removable, lambda _: None) == []
    assert sorted(path.name for path in cached.iterdir()) == [".begun", ".old.lock", "new", "used"]


def test_removing_leaves_the_rest_intact(tmp_path: Path) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    seen: list[Path] = []
    found = what_to_remove(tmp_path, {}, ANY)
    assert remove(tmp_path, found.removable, seen.append) == []
    assert results_in(tmp_path) == {"data2", "train2", "test2"}
    assert sorted(path.name for path in (tmp_path / ".frames").glob("??/*")) == ["aa11-fps4", "bb2-fps4"]
    assert len(seen) == 4
    assert not (tmp_path / ".removed").exists()
    assert names(what_to_remove(tmp_path, {}, ANY), tmp_path) == []


def test_a_lock_that_is_taken_meanwhile_protects(tmp_path: Path) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    found = what_to_remove(tmp_path, {}, ANY)
    with exclusive(lock_file(tmp_path, "train1"), "it"):
        again = what_to_remove(tmp_path, {}, ANY)
        assert [item.path.name for item in with_same_paths(found.removable, again.removable)] == ["test1"]
        left = remove(tmp_path, found.removable[:2], lambda _: None)
    assert left[0].startswith(f"demo/train/train1 is in use by process {os.getpid()}")
    assert results_in(tmp_path) == {"data1", "train1", "data2", "train2", "test2"}


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from workflows.results import cleaning
from workflows.results.uses import cleaning as lock
root, after = Path(sys.argv[1]), int(sys.argv[2])
calls = 0
def dying(real):
    def call(*arguments, **options):
        global calls
        if calls == after:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return real(*arguments, **options)
    return call
Path.rename, os.unlink = dying(Path.rename), dying(os.unlink)
shutil.rmtree.__globals__["os"].unlink = os.unlink
with lock(root):
    cleaning.remove(root, cleaning.what_to_remove(root, {}, cleaning.Choice()).removable, lambda _: None)
"""


@pytest.mark.parametrize("after", range(0, 12, 2))
def test_a_kill_at_any_moment_leaves_complete_results_and_the_next_cleaning_finishes(tmp_path: Path, after: int) -> None:
    chain(tmp_path, 1, day=1)
    chain(tmp_path, 2, day=2)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(after)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    for path in tmp_path.glob("[!.]*/[!.]*/*"):
        assert {file.name for file in path.iterdir()} >= {"manifest.json", "contents.json", "model.bin"}, path
    with cleaning(tmp_path):
        found = what_to_remove(tmp_path, {}, ANY)
        assert remove(tmp_path, found.removable, lambda _: None) == []
    assert results_in(tmp_path) == {"data2", "train2", "test2"}
    assert not (tmp_path / ".removed").exists()
