"""The store of frames that all experiments of a storage share."""

import os
import pickle
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cosa.checksums import digest_of
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_digests import DIGESTS_FILE
from cosa.data.media_limits import DEFAULT_LIMITS, MediaLimits
from cosa.data.picture_sources import PictureFiles
from cosa.data.shard_lookup import ShardLookup
from cosa.data.shard_writing import ShardState
from cosa.data.stored_frames import StoredFrames, entry_of
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video
from workflows.execution import frame_store
from workflows.execution.frame_store import FrameStore, Sampling, link_frames, name_problem, new_shard, owner_of

SAMPLING = Sampling("fps4", ExtractionSettings(fps=4), DEFAULT_LIMITS)
SHARDED = replace(SAMPLING, output="shards")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_clip_is_decoded_once_whatever_it_is_called(tmp_path: Path) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    content = digest_of(video)
    first = store.add(video, "a", content, SAMPLING)
    again = store.add(tmp_path / "gone.mp4", "b", content, SAMPLING)
    assert (first.reader, again.reader) == ("pyav", "")
    assert (again.video_id, again.frames, again.bytes, again.duration, again.width) == (
        "b", first.frames, first.bytes, first.duration, first.width,
    )  # fmt: skip
    other = store.add(video, "a", content, Sampling("fps2", ExtractionSettings(fps=2), DEFAULT_LIMITS))
    assert (other.reader, other.frames) == ("pyav", first.frames // 2)
    assert sorted(path.name for path in store.root.glob("*/*")) == [f"{content}-fps2", f"{content}-fps4"]


def test_a_clip_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    store, video = FrameStore(tmp_path / ".frames"), tmp_path / "a.mp4"
    video.write_bytes(b"no video")
    assert store.add(video, "a", digest_of(video), SAMPLING).error
    assert list(store.root.glob("*/*")) == []


@pytest.mark.parametrize(
    ("limits", "message"), [(MediaLimits(seconds=1), "max_seconds allows"), (MediaLimits(frames=2), "max_frames allows")]
)
def test_limits_that_a_clip_passes_change_nothing(tmp_path: Path, limits: MediaLimits, message: str) -> None:
    """Those that it does not pass make it unreadable, although its frames are there; they stay for others."""
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    content = digest_of(video)
    first = store.add(video, "a", content, SAMPLING)
    passed = MediaLimits(seconds=first.duration, frames=first.frames)
    assert store.add(video, "a", content, replace(SAMPLING, limits=passed)).reader == ""
    assert message in str(store.add(video, "a", content, replace(SAMPLING, limits=limits)).error)
    assert store.add(video, "a", content, SAMPLING).reader == ""
    assert [path.name for path in store.root.glob("*/*")] == [f"{content}-fps4"]


@pytest.mark.parametrize("name", ["frame_0003.jpg", DIGESTS_FILE])
@pytest.mark.parametrize("damage", [os.unlink, empty, flip_a_bit])
def test_damaged_frames_are_made_again(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    """A changed bit needs all to be read, which --force asks for."""
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    content = digest_of(video)
    store.add(video, "a", content, SAMPLING)
    frames = StoredFrames.of(store.root, "fps4", {"a": content})
    damage(frames.entry("a") / name)
    assert frames.damage() is not None or name == DIGESTS_FILE
    made = store.add(video, "a", content, SAMPLING, read_all=damage is flip_a_bit)
    assert made.reader == "pyav" or frames.damage() is None
    assert frames.damage() is None
    assert [path.name for path in store.root.glob("*/*")] == [f"{content}-fps4"]


def test_left_over_work_goes_when_nothing_was_written_for_a_day(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / ".frames")
    store.remove_leftovers()
    left = store.root / "aa" / f".aa11-fps4.partial-{'0' * 32}"
    left.mkdir(parents=True)
    store.remove_leftovers()
    assert left.exists(), "somebody may work on it"
    day_before = time.time() - 90_000
    os.utime(left, (day_before, day_before))
    store.remove_leftovers()
    assert not left.exists()


def test_a_clip_that_changes_while_it_is_read_is_not_stored(tmp_path: Path) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    content = digest_of(video)
    make_video(tmp_path / "a.mp4", frames=20)
    with pytest.raises(DataError, match="clip a changed while it was read; run the same command again"):
        store.add(video, "a", content, SAMPLING)
    assert not entry_of(store.root, content, "fps4").exists()


def test_two_extractions_of_the_same_clip_leave_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    content = digest_of(video)
    store.add(video, "a", content, SAMPLING)
    first = entry_of(store.root, content, "fps4")
    inode = first.stat().st_ino
    known = FrameStore.known
    asked: list[str] = []

    def not_yet(self: FrameStore, *given: Any, **options: Any) -> Any:
        asked.append("")
        return None if len(asked) == 1 else known(self, *given, **options)

    monkeypatch.setattr(FrameStore, "known", not_yet)  # The other finishes after this one has looked.
    assert store.add(video, "b", content, SAMPLING).error is None
    assert len(asked) == 2
    assert first.stat().st_ino == inode
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_links_lead_to_frames_by_the_names_of_clips(tmp_path: Path) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4", frames=20)
    clips = dict.fromkeys(("yoga", "yoga/1", "run/1"), digest_of(video))
    store.add(video, "yoga", clips["yoga"], SAMPLING)
    folder = tmp_path / "experiment" / "frames"
    for _ in range(2):  # It may be there from an interrupted run.
        link_frames(folder, StoredFrames.of(store.root, "fps4", clips))
    for video_id in clips:
        assert len(list((folder / video_id).glob("frame_*.jpg"))) == 8
        assert (folder / video_id / "frame_0001.jpg").is_file()
    assert (folder / "run" / "1").is_symlink()
    assert not Path((folder / "run" / "1").readlink()).is_absolute()


@pytest.mark.parametrize("video_id", ["a/frame_0001.jpg", "a/digests.json", "frame_2.jpg/b"])
def test_names_that_would_be_taken_for_frames_are_refused(video_id: str) -> None:
    assert "has the name of a frame; rename it" in str(name_problem(video_id))
    assert name_problem("yoga/1") is None


def test_archives_are_known_as_far_as_they_are_complete(tmp_path: Path) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    content = digest_of(video)
    packed = replace(SAMPLING, output="tar")
    assert store.add(video, "a", content, packed).reader == "pyav"
    assert store.add(video, "b", content, SAMPLING).reader == ""  # The frames are the same.
    archive = entry_of(store.root, content, "fps4") / "frames.tar"
    complete = archive.read_bytes()
    archive.write_bytes(complete[: len(complete) // 2])
    assert store.known("a", content, packed) is None
    assert store.add(video, "a", content, packed).reader == "pyav"
    assert archive.read_bytes() == complete


def in_shard(store: FrameStore, video: Path, video_id: str, state: ShardState, **options: Any) -> tuple[str, ShardState]:
    """Extract a clip into a shard; returns by what it was decoded, and the shard as it is now."""
    shard = store.open_shard(SHARDED, state)
    assert shard is not None
    content = digest_of(video)
    record, publish = store.extract(
        video, video_id, content, SHARDED, place=ShardLookup(store.shards("fps4")).place(content), shard=shard, **options
    )
    publish()
    shard.close()
    assert record.error is None
    return record.reader, shard.state


def listed(store: FrameStore, clips: dict[str, str]) -> StoredFrames:
    return StoredFrames.of(store.root, "fps4", clips, store.places(clips.values(), "fps4", ShardLookup(store.shards("fps4"))))


def test_clips_in_shards_have_the_frames_of_those_in_folders(tmp_path: Path) -> None:
    store, other = FrameStore(tmp_path / ".frames"), FrameStore(tmp_path / "other")
    videos = {name: make_video(tmp_path / f"{name}.mp4", frames=20 + number) for number, name in enumerate("abc")}
    clips = {name: digest_of(video) for name, video in videos.items()}
    state = ShardState(new_shard("abc123"))
    for name, video in videos.items():
        reader, state = in_shard(store, video, name, state)
        assert reader == "pyav"
        other.add(video, name, clips[name], SAMPLING)
    assert in_shard(store, videos["a"], "again", state)[0] == "", "it is there"
    store.make_shards_complete("fps4", "of-another-stage")
    assert not list(store.root.glob("shards/*/*/clips.arrow")), "somebody may write it"
    before = listed(store, clips)
    store.make_shards_complete("fps4", "abc123")
    assert len(list(store.root.glob("shards/*/*/clips.arrow"))) == 1
    after = listed(store, clips)
    assert (list(store.root.glob("??/*")), after.missing([*clips, "d"])) == ([], ["d"])
    folders = StoredFrames.of(other.root, "fps4", clips)
    for frames in (before, after):
        for name in clips:
            assert [one.content() for one in frames.files(name)] == [one.content() for one in folders.files(name)]
    sent = pickle.loads(pickle.dumps(after))  # to another process, with open files
    assert [one.content() for one in sent.files("a")] == [one.content() for one in folders.files("a")]
    read = [PictureFiles(frames).load(frames.files("b")[2:5]) for frames in (sent, folders)]
    assert torch.equal(*read)
    link_frames(tmp_path / "frames", after)
    assert [path.resolve() for path in (tmp_path / "frames").iterdir()] == [after.shard_folders()[0] / "frames.tar"]
    record = store.known("x", clips["a"], SAMPLING, place=ShardLookup(store.shards("fps4")).place(clips["a"]))
    assert record is not None
    assert (record.video_id, record.frames) == ("x", 8)
    shutil.rmtree(after.shard_folders()[0])
    assert after.missing(clips) == ["a", "b", "c"]


def test_a_damaged_clip_of_a_shard_is_extracted_again_into_a_new_one(tmp_path: Path) -> None:
    """Only --force reads frames through; others notice when they read it."""
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    clips = {"a": digest_of(video)}
    in_shard(store, video, "a", ShardState("001-abc-1"))
    store.make_shards_complete("fps4", "abc")
    path = listed(store, clips).shard_folders()[0] / "frames.tar"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert "is not the frame that extraction wrote" in str(listed(store, clips).damage())
    assert in_shard(store, video, "a", ShardState("002-abc-2"))[0] == ""
    assert in_shard(store, video, "a", ShardState("002-abc-2"), read_all=True)[0] == "pyav"
    store.make_shards_complete("fps4", "abc")
    assert listed(store, clips).damage() is None
    assert listed(store, clips).clips.shards == ["002-abc-2"]


def test_a_clip_that_has_a_folder_keeps_it(tmp_path: Path) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    clips = {"a": digest_of(video)}
    store.add(video, "a", clips["a"], SAMPLING)
    assert in_shard(store, video, "a", ShardState("001-abc-1"))[0] == ""
    flip_a_bit(entry_of(store.root, clips["a"], "fps4") / "frame_0002.jpg")
    assert in_shard(store, video, "a", ShardState("001-abc-1"), read_all=True)[0] == "pyav"
    store.make_shards_complete("fps4", "abc")
    assert list(store.root.glob("shards/*/*")) == []
    assert listed(store, clips).damage() is None
    assert listed(store, clips).clips.shards == []


def test_a_shard_that_is_not_free_is_left_to_its_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_store, "ENDING_SECONDS", 0.1)
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    busy = store.open_shard(SHARDED, ShardState("001-abc-1"))
    assert busy is not None
    reader, state = in_shard(store, video, "a", ShardState("001-abc-1"))
    assert reader == "pyav"
    assert state.name != "001-abc-1"
    assert owner_of(state.name) == "abc"
    full = store.next_shard(SHARDED, busy)
    assert full.state.name not in ("001-abc-1", state.name)
    assert store.open_shard(SAMPLING, None) is None


def test_an_abandoned_shard_of_another_stage_is_ended_after_a_day(tmp_path: Path) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    in_shard(store, video, "a", ShardState("001-abc-1"))
    path = store.shards("fps4") / "001-abc-1" / "frames.tar"
    os.utime(path, (time.time() - 90_000,) * 2)
    store.make_shards_complete("fps4", "other")
    assert (path.parent / "clips.arrow").is_file()


def test_an_abandoned_shard_of_another_user_is_read_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    in_shard(store, video, "a", ShardState("001-abc-1"))
    path = store.shards("fps4") / "001-abc-1" / "frames.tar"
    os.utime(path, (time.time() - 90_000,) * 2)

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(frame_store, "make_complete", refuse)  # Permissions do not bind the tests if root runs them.
    store.make_shards_complete("fps4", "other")
    assert listed(store, {"a": digest_of(video)}).damage() is None


def test_a_clip_that_changes_while_it_is_read_is_not_in_a_shard(tmp_path: Path) -> None:
    store, video = FrameStore(tmp_path / ".frames"), make_video(tmp_path / "a.mp4")
    shard = store.open_shard(SHARDED, ShardState("001-abc-1"))
    assert shard is not None
    with pytest.raises(DataError, match="clip a changed while it was read"):
        store.extract(video, "a", "0" * 32, SHARDED, shard=shard)
    assert shard.state == ShardState("001-abc-1")
    shard.close()
    assert (store.shards("fps4") / "001-abc-1" / "frames.tar").stat().st_size == 0
