"""The store of frames that all experiments of a storage share."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosa.checksums import digest_of
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_digests import DIGESTS_FILE
from cosa.data.media_limits import DEFAULT_LIMITS, MediaLimits
from cosa.data.stored_frames import StoredFrames, entry_of
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video
from workflows.execution.frame_store import FrameStore, Sampling, link_frames, name_problem

SAMPLING = Sampling("fps4", ExtractionSettings(fps=4), DEFAULT_LIMITS)


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
    frames = StoredFrames(store.root, "fps4", {"a": content})
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
        link_frames(folder, StoredFrames(store.root, "fps4", clips))
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
    packed = replace(SAMPLING, in_archives=True)
    assert store.add(video, "a", content, packed).reader == "pyav"
    assert store.add(video, "b", content, SAMPLING).reader == ""  # The frames are the same.
    archive = entry_of(store.root, content, "fps4") / "frames.tar"
    complete = archive.read_bytes()
    archive.write_bytes(complete[: len(complete) // 2])
    assert store.known("a", content, packed) is None
    assert store.add(video, "a", content, packed).reader == "pyav"
    assert archive.read_bytes() == complete
