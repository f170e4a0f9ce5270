"""Long videos are cut into windows or shots."""

from pathlib import Path

import av
import numpy as np
import pytest

from cosa.data.videos import open_video
from cosa.inference.segments import Segmentation, clock, shot_changes
from tests.cosa.data.drawn_videos import make_video

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


def coloured(path: Path, seconds: tuple[int, ...]) -> Path:
    """Shots of one colour each, with a bright square that moves."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour, length in zip(COLOURS, seconds, strict=True):
            for number in range(10 * length):
                picture = np.full((48, 64, 3), colour, dtype=np.uint8)
                picture[10:16, number % 50 : number % 50 + 6] = 250
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def test_short_videos_stay_whole(tmp_path: Path) -> None:
    video = open_video(make_video(tmp_path / "v.mp4", frames=50))
    assert Segmentation(uncut_up_to=5.0).parts(video, 4) == [None]
    assert Segmentation(by="none", uncut_up_to=0).parts(video, 4) == [None]


def test_windows_have_equal_lengths_and_cover_all(tmp_path: Path) -> None:
    video = open_video(make_video(tmp_path / "v.mp4", frames=70))
    assert Segmentation(window=2.0, uncut_up_to=3.0).parts(video, 4) == pytest.approx(
        [(0, 1.75), (1.75, 3.5), (3.5, 5.25), (5.25, 7)]
    )


def test_shots_end_where_colours_change(tmp_path: Path) -> None:
    video = open_video(coloured(tmp_path / "v.mp4", (2, 5, 3)))
    assert shot_changes(video, 4, 0.5) == [2.0, 7.0]
    cut = Segmentation(by="shots", window=3.0, uncut_up_to=1.0)
    assert cut.parts(video, 4) == [(0, 2), (2, 4.5), (4.5, 7), (7, 10)]


def test_a_flash_is_no_shot(tmp_path: Path) -> None:
    assert shot_changes(open_video(coloured(tmp_path / "v.mp4", (4, 0, 4))), 4, 1.0) == []


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.0"), (59.95, "0:59.9"), (63.5, "1:03.5"), (3723.25, "1:02:03.2")])
def test_times_are_written_as_people_do(seconds: float, text: str) -> None:
    assert clock(seconds) == text
