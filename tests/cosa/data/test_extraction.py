import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosa.data.extraction import extract_frames, remove_partial_folders
from cosa.data.frames import FrameFolders
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video, number_of


def test_extraction_writes_numbered_frames(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", size=(128, 96))
    folder = tmp_path / "frames" / "sub" / "clip"
    record = extract_frames(video, folder, 4, video_id="sub/clip")
    paths = sorted(folder.glob("*.jpg"))
    assert [path.name for path in paths] == [f"frame_{k:04d}.jpg" for k in range(1, 17)]
    assert (record.video_id, record.frames, record.width, record.height) == ("sub/clip", 16, 128, 96)
    assert (record.reader, record.error, record.bytes) == ("pyav", None, sum(p.stat().st_size for p in paths))
    assert record.duration == pytest.approx(4.0)
    shown = [int(10 * (k + 0.5) / 4) for k in range(16)]
    assert [number_of(np.asarray(Image.open(path))) for path in paths] == shown
    assert [path.name for path in folder.parent.iterdir()] == ["clip"]


def test_short_side_shrinks_but_never_enlarges(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", size=(128, 96))
    small = extract_frames(video, tmp_path / "small", 2, short_side=24)
    assert (small.width, small.height) == (32, 24)
    assert Image.open(tmp_path / "small" / "frame_0001.jpg").size == (32, 24)
    assert extract_frames(video, tmp_path / "large", 2, short_side=500).width == 128


def test_existing_frames_are_replaced(tmp_path: Path) -> None:
    video, folder = make_video(tmp_path / "a.mp4"), tmp_path / "clip"
    extract_frames(video, folder, 4)
    assert extract_frames(video, folder, 2).frames == 8
    assert len(list(folder.glob("*.jpg"))) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "clip"]


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    video, folder = make_video(tmp_path / "a.mp4"), tmp_path / "clip"
    folder.mkdir()
    (folder / "b").touch()
    with pytest.raises(DataError, match="holds 'b' beside frames"):
        extract_frames(video, folder, 4)
    assert (folder / "b").exists()


@pytest.mark.parametrize("order", [("yoga", "yoga/1", "yoga/1/2"), ("yoga/1/2", "yoga", "yoga/1")])
def test_a_clip_and_clips_in_a_folder_of_its_name(tmp_path: Path, order: tuple[str, ...]) -> None:
    lengths = {"yoga": 20, "yoga/1": 30, "yoga/1/2": 40}
    for video_id in order:
        video = make_video(tmp_path / "a.mp4", frames=lengths[video_id])
        assert extract_frames(video, tmp_path / "frames" / video_id, 2, video_id=video_id).error is None
    for video_id, count in lengths.items():
        video = make_video(tmp_path / "a.mp4", frames=count)
        record = extract_frames(video, tmp_path / "frames" / video_id, 2, video_id=video_id)
        assert record.frames == count // 5 == len(FrameFolders(tmp_path / "frames").files(video_id))
    assert remove_partial_folders(tmp_path) == 0


@pytest.mark.parametrize(
    "video_id", ["a/frame_0001.jpg", "a/digests.json", f".a.partial-{'0' * 32}", f".a.partial-{'0' * 32}/b"]
)
def test_names_that_would_be_taken_for_something_else_are_refused(tmp_path: Path, video_id: str) -> None:
    record = extract_frames(make_video(tmp_path / "a.mp4"), tmp_path / "frames" / video_id, 2, video_id=video_id)
    assert "has the name of a frame or of unfinished work; rename it" in str(record.error)
    assert not (tmp_path / "frames").exists()


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    video, write = make_video(tmp_path / "a.mp4"), Path.write_bytes

    def fail_at_third(path: Path, content: bytes) -> int:
        if path.name == "frame_0003.jpg":
            raise failure
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_at_third)
    with pytest.raises(type(failure)) as raised:
        extract_frames(video, tmp_path / "frames" / "clip", 4)
    assert raised.value is failure
    assert list((tmp_path / "frames").iterdir()) == []


def test_left_over_partial_folders_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "sub" / f".clip.partial-{'0' * 32}"
    for folder in (left, tmp_path / "clip", tmp_path / ".hidden"):
        folder.mkdir(parents=True)
        (folder / "frame_0001.jpg").touch()
    assert remove_partial_folders(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "clip", "sub"]
    assert not left.exists()
