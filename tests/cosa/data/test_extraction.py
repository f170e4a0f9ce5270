import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from cosa.data.extraction import extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_times import frame_times
from cosa.data.media_limits import DEFAULT_LIMITS, MediaLimits
from cosa.data.videos import open_video, sample_video
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video, number_of


def test_extraction_writes_numbered_frames(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", size=(128, 96))
    folder = tmp_path / "frames" / "sub" / "clip"
    record = extract_frames(video, folder, ExtractionSettings(fps=4), video_id="sub/clip")
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
    small = extract_frames(video, tmp_path / "small", ExtractionSettings(fps=2, short_side=24))
    assert (small.width, small.height) == (32, 24)
    assert Image.open(tmp_path / "small" / "frame_0001.jpg").size == (32, 24)
    assert extract_frames(video, tmp_path / "large", ExtractionSettings(fps=2, short_side=500)).width == 128


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    video, folder = make_video(tmp_path / "a.mp4"), tmp_path / "clip"
    folder.mkdir()
    (folder / "b").touch()
    with pytest.raises(DataError, match="clip exists; choose another folder"):
        extract_frames(video, folder, ExtractionSettings(fps=4))
    assert (folder / "b").exists()


def test_a_clip_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert extract_frames(tmp_path / "a.mp4", tmp_path / "frames" / "a", ExtractionSettings(fps=4)).error
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
        extract_frames(video, tmp_path / "frames" / "clip", ExtractionSettings(fps=4))
    assert raised.value is failure
    assert list((tmp_path / "frames").iterdir()) == []


def test_so_many_frames_or_all_of_a_clip(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", milliseconds=[0, 30, 60, 500, 1000, 1900], frames=6)
    assert [number_of(picture) for picture in taken(video, frames_per_clip="all")] == [0, 1, 2, 3, 4, 5]
    # Parts of 2 s / 4 each: what is shown in the middle of each.
    long = make_video(tmp_path / "b.mp4", frames=40)
    assert [number_of(picture) for picture in taken(long, frames_per_clip=4)] == [5, 15, 25, 35]
    assert [number_of(picture) for picture in taken(long, frames_per_clip=3)] == [6, 20, 33]
    short = make_video(tmp_path / "c.mp4", frames=2)
    assert [number_of(picture) for picture in taken(short, frames_per_clip=4)] == [0, 0, 1, 1]
    with pytest.raises(DataError, match="40 frames would be taken"):
        list(taken(long, MediaLimits(frames=39), frames_per_clip="all"))


def test_a_way_of_taking_frames_keeps_its_name() -> None:
    assert ExtractionSettings().identity() == {"fps": 4.0, "short_side": None, "jpeg_quality": 95}
    several = ExtractionSettings(frames_per_clip=8)
    assert several.identity() == {"frames_per_clip": 8, "short_side": None, "jpeg_quality": 95}
    assert (ExtractionSettings().taken_at, several.taken_at) == ("4 a second", "8 of each clip")
    assert ExtractionSettings(frames_per_clip="all").taken_at == "all of them"
    with pytest.raises(ValidationError, match="frames_per_clip: it takes the place of fps"):
        ExtractionSettings(fps=2, frames_per_clip=8)


def taken(video: Path, limits: MediaLimits = DEFAULT_LIMITS, **settings: Any) -> Iterator[np.ndarray]:
    opened = open_video(video, limits)
    return sample_video(opened, frame_times(opened, ExtractionSettings(**settings)))
