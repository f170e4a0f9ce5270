import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosa.data.extraction import extract_frames
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


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    video, folder = make_video(tmp_path / "a.mp4"), tmp_path / "clip"
    folder.mkdir()
    (folder / "b").touch()
    with pytest.raises(DataError, match="clip exists; choose another folder"):
        extract_frames(video, folder, 4)
    assert (folder / "b").exists()


def test_a_clip_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert extract_frames(tmp_path / "a.mp4", tmp_path / "frames" / "a", 4).error
    assert list((tmp_path / "frames").iterdir()) == []


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
