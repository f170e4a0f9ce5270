"""Frames that are used are those that extraction wrote."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cosa.data.clips import ClipReader
from cosa.data.extraction import extract_frames
from cosa.data.frame_digests import DIGESTS_FILE, damage_of_frames
from cosa.data.frames import FrameFolders
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video

CLIPS = ("a", "b", "b/c")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Frames of three clips of equal length."""
    for count, clip in enumerate(CLIPS):
        video = make_video(tmp_path / f"{count}.mp4", size=(64 + 16 * count, 64))
        assert extract_frames(video, tmp_path / "frames" / clip, 4, video_id=clip, extraction="1234").error is None
    return tmp_path / "frames"


def read_all(frames: Path) -> None:
    read = ClipReader(FrameFolders(frames, extraction="1234"), frames=16, resolution=16, transforms="none", training=False)
    for clip in CLIPS:
        read(clip, None)


def swap_folders(frames: Path) -> None:
    (frames / "a").rename(frames / "x")
    (frames / "b/c").rename(frames / "a")
    (frames / "x").rename(frames / "b/c")


def swap_frames(frames: Path) -> None:
    for clip, other in (("a", "b"), ("b", "a")):
        for path in (frames / clip).glob("*.jpg"):
            path.rename(frames / f"{other}-{path.name}")
    for path in frames.glob("*-*.jpg"):
        path.rename(frames / path.name.replace("-", "/", 1))


def flip_a_bit(frames: Path) -> None:
    path = frames / "b" / "frame_0005.jpg"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def repeat_a_frame(frames: Path) -> None:
    shutil.copy(frames / "b/c/frame_0001.jpg", frames / "b/c/frame_0002.jpg")


def empty_the_list(frames: Path) -> None:
    (frames / "a" / DIGESTS_FILE).write_bytes(b"")


def change_the_list(frames: Path) -> None:
    path = frames / "a" / DIGESTS_FILE
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "digests": content["digests"][::-1]}))


def take_them_from_another_extraction(frames: Path) -> None:
    shutil.rmtree(frames / "a")
    video = make_video(frames.parent / "0.mp4", size=(64, 64))
    extract_frames(video, frames / "a", 4, video_id="a", extraction="5678")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "folders swapped": (swap_folders, "a holds frames of clip b/c that extraction 1234 made, expected clip a and"),
    "frames swapped": (swap_frames, r"a/frame_00\d\d\.jpg is not the frame that extraction wrote"),
    "one bit": (flip_a_bit, r"b/frame_0005\.jpg is not the frame that extraction wrote"),
    "one frame twice": (repeat_a_frame, r"b/c/frame_0002\.jpg is not the frame that extraction wrote"),
    "frame gone": (lambda frames: (frames / "a/frame_0016.jpg").unlink(), r"a/frame_0016\.jpg is missing"),
    "frame empty": (lambda frames: (frames / "a/frame_0002.jpg").write_bytes(b""), r"a/frame_0002\.jpg is not the frame"),
    "list gone": (lambda frames: (frames / "b" / DIGESTS_FILE).unlink(), "b has no digests.json, which extraction wrote"),
    "list empty": (empty_the_list, r"a/digests\.json is damaged"),
    "list changed": (change_the_list, r"a/frame_0001\.jpg is not the frame that extraction wrote"),
    "list too deep": (lambda frames: (frames / "a" / DIGESTS_FILE).write_text("[" * 100_000), r"digests\.json is damaged"),
    "of another extraction": (take_them_from_another_extraction, "a holds frames of clip a that extraction 5678 made"),
    "clip gone": (lambda frames: shutil.rmtree(frames / "a"), "a"),
}


def test_intact_frames_are_read(frames: Path) -> None:
    read_all(frames)
    assert damage_of_frames(frames, CLIPS, "1234") is None


@pytest.mark.parametrize("name", DAMAGES)
def test_other_frames_are_noticed_by_readers_and_when_all_is_verified(frames: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    damage(frames)
    with pytest.raises(DataError, match=message):
        read_all(frames)
    found = damage_of_frames(frames, CLIPS, "1234")
    assert found is not None
    assert str(frames) not in found


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "clip gone"])
def test_an_extraction_that_goes_on_repeats_damaged_clips_only(frames: Path, name: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in frames.rglob("frame_*.jpg")}
    DAMAGES[name][0](frames)
    records = [
        extract_frames(frames.parent / f"{i}.mp4", frames / clip, 4, video_id=clip, extraction="1234", reuse=True)
        for i, clip in enumerate(CLIPS)
    ]
    assert {record.reader for record in records} == {"pyav", "existing"} or "swapped" in name
    read_all(frames)
    assert len(list(frames.rglob("frame_*.jpg"))) == len(before)


def test_frames_without_a_list_are_a_persons_own(frames: Path) -> None:
    (frames / "a" / DIGESTS_FILE).unlink()
    assert len(FrameFolders(frames).files("a")) == 16
