"""What a task does with its clips, without Ray."""

from pathlib import Path

import pytest

from cosa.checksums import digest_of
from cosa.data import shard_writing
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.media_limits import DEFAULT_LIMITS
from cosa.data.shard_lookup import ShardLookup
from cosa.data.shard_writing import ShardState
from tests.cosa.data.drawn_videos import make_video
from workflows.execution.clip_extraction import Clip, extract_clips
from workflows.execution.frame_store import FrameStore, Sampling

SAMPLING = Sampling("fps4", ExtractionSettings(fps=4), DEFAULT_LIMITS, "shards")


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Five clips, of which the second is a copy of the first, and the fourth is no video."""
    made = []
    for number, frames in enumerate((20, 20, 25, 0, 30)):
        path = tmp_path / f"v{number}.mp4"
        if frames:
            make_video(path, frames=frames)
        else:
            path.write_bytes(b"no video")
        made.append(Clip(path.stem, str(path), digest_of(path)))
    assert made[0].content == made[1].content
    return made


def task(store: FrameStore, clips: list[Clip], state: ShardState | None) -> tuple[list[str], ShardState | None]:
    """Run a task, and return by what it decoded each clip, and the shard that it leaves."""
    notes = store.root.parent / "notes"
    notes.mkdir(exist_ok=True)
    records, after = extract_clips(clips, store, SAMPLING, False, notes, state, 7)
    assert [record["video_id"] for record in records] == [clip.video_id for clip in clips]
    assert list(notes.iterdir()) == []
    return [record["kind"] or record["reader"] for record in records], after


def test_a_task_appends_to_the_shard_that_the_one_before_left(tmp_path: Path, clips: list[Clip]) -> None:
    store = FrameStore(tmp_path / ".frames")
    first, state = task(store, clips[:3], ShardState("001-abc-1"))
    assert first == ["pyav", "", "pyav"]
    assert state is not None
    assert (state.name, state.clips) == ("001-abc-1", 2)
    then, last = task(store, clips[3:], state)
    assert then == ["no video", "pyav"]
    assert last is not None
    assert (last.name, last.clips) == ("001-abc-1", 3)
    assert len(ShardLookup(store.shards("fps4"))) == 3


def test_a_task_that_starts_again_finds_what_it_has_done(tmp_path: Path, clips: list[Clip]) -> None:
    """Ray starts it with the same arguments, when its process was killed."""
    store, state = FrameStore(tmp_path / ".frames"), ShardState("001-abc-1")
    task(store, clips[:3], state)
    again, after = task(store, clips, state)
    assert again == ["", "", "", "no video", "pyav"]
    assert after is not None
    assert after.clips == 3


def test_a_full_shard_is_ended_and_the_next_begins(tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_writing, "SHARD_CLIPS", 2)
    store = FrameStore(tmp_path / ".frames")
    _, state = task(store, clips, ShardState("001-abc-1"))
    assert (store.shards("fps4") / "001-abc-1" / "clips.arrow").is_file()
    assert state is not None
    assert (state.name != "001-abc-1", state.clips) == (True, 1)
    store.make_shards_complete("fps4", "abc")
    assert len(list(store.root.glob("shards/fps4/*/clips.arrow"))) == 2


def test_without_a_shard_each_clip_has_a_folder(tmp_path: Path, clips: list[Clip]) -> None:
    store = FrameStore(tmp_path / ".frames")
    _, state = task(store, clips, None)
    assert state is None
    assert len(list(store.root.glob("??/*/frames.tar"))) == 3
    assert not (store.root / "shards").exists()
