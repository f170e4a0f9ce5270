"""Cuts long videos into parts that are found by themselves: windows of equal length, or shots."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from cosa.data.frame_times import at_rate
from cosa.data.videos import OpenedVideo, sample_video
from cosa.section import Section

Part = tuple[float, float]  # start and end, seconds
_THUMBNAIL = 32  # pixels: motion inside of a shot changes thumbnails little
_BINS = 8  # of each colour in a histogram
_SHORTEST_SHOT = 1.0  # seconds; flashes and cross-fades are no shots of their own


class Segmentation(Section):
    """How long videos are cut."""

    by: Literal["windows", "shots", "none"] = Field("windows", description="windows of equal length, shots, or not at all")
    window: float = Field(10.0, gt=0, description="length of a window, and of the longest shot, seconds")
    uncut_up_to: float = Field(60.0, ge=0, description="videos up to this length are not cut, seconds")
    shot_change: float = Field(
        0.5, gt=0, le=1, description="a shot ends where so much of the colours differs from the frame before, 0 to 1"
    )

    def parts(self, video: OpenedVideo, fps: float) -> list[Part | None]:
        """The parts of a video, in order; [None] if it is not cut.

        fps: frames per second that are looked at.

        Raises:
            DataError: shots are asked for, and the video is damaged.
        """
        duration = video.info.duration
        if self.by == "none" or duration <= self.uncut_up_to:
            return [None]
        if self.by == "windows":
            return list(_windows(0.0, duration, self.window))
        bounds = [0.0, *shot_changes(video, fps, self.shot_change), duration]
        return [part for start, end in itertools.pairwise(bounds) for part in _windows(start, end, self.window)]


def _windows(start: float, end: float, longest: float) -> list[Part]:
    """Parts of equal length, as few as are no longer than about `longest`."""
    count = max(1, round((end - start) / longest))
    edges = np.linspace(start, end, count + 1).tolist()
    return list(itertools.pairwise(edges))


def shot_changes(video: OpenedVideo, fps: float, threshold: float) -> list[float]:
    """Times in seconds at which shots begin, but for the first: where the colours of neighbouring frames differ.

    The difference is half the sum of absolute differences of two colour histograms, 0 to 1.

    Raises:
        DataError: the video is damaged.
    """
    changes: list[float] = []
    before: NDArray[np.float64] | None = None
    for place, picture in enumerate(sample_video(video, at_rate(video, fps))):
        histogram = _histogram(picture)
        time = place / fps
        far_enough = time - (changes[-1] if changes else 0.0) >= _SHORTEST_SHOT
        if before is not None and far_enough and 0.5 * np.abs(histogram - before).sum() > threshold:
            changes.append(time)
        before = histogram
    last = video.info.duration
    return [time for time in changes if last - time >= _SHORTEST_SHOT]


def _histogram(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of pixels in each cell of a coarse colour cube, of (height, width, 3) uint8."""
    small = np.asarray(Image.fromarray(picture).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX))
    cells = (small // (256 // _BINS)).astype(np.int64) @ np.array([_BINS**2, _BINS, 1])
    return np.bincount(cells.ravel(), minlength=_BINS**3) / cells.size


def clock(seconds: float) -> str:
    """A time as people write it: 1:02:03.5, or 2:03.5."""
    tenths = math.floor(seconds * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"
