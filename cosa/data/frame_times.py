"""When frames are taken of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cosa.data.clip_errors import LargeClipError
from cosa.data.extraction_settings import ExtractionSettings
from cosa.message_text import shown

if TYPE_CHECKING:
    from cosa.data.videos import OpenedVideo


@dataclass(frozen=True)
class FrameTimes:
    """The times of a clip's frames.

    seconds: (frames,) since the first shown frame, ascending; what is shown then is taken. spacing: about how many seconds lie
    between two of them.
    """

    seconds: np.ndarray
    spacing: float

    def __len__(self) -> int:
        return len(self.seconds)


def at_rate(clip: OpenedVideo, frames_per_second: float) -> FrameTimes:
    """The middle of every interval of 1 / frames_per_second seconds, one at least.

    Raises:
        DataError: there are more than the limit.
    """
    count = max(1, round(clip.info.duration * frames_per_second))
    _check_count(clip, count)
    return FrameTimes((np.arange(count) + 0.5) / frames_per_second, 1 / frames_per_second)


def frame_times(clip: OpenedVideo, settings: ExtractionSettings) -> FrameTimes:
    """When the settings take frames of a clip; of so many frames each is in the middle of a part of equal length.

    Raises:
        DataError: there are more than the limit.
    """
    wanted, duration = settings.frames_per_clip, clip.info.duration
    if wanted is None:
        return at_rate(clip, settings.fps)
    if wanted == "all":
        _check_count(clip, len(clip.timeline.times))
        return FrameTimes(clip.timeline.times, duration / len(clip.timeline.times))
    _check_count(clip, wanted)
    return FrameTimes((np.arange(wanted) + 0.5) * (duration / wanted), duration / wanted)


def _check_count(clip: OpenedVideo, count: int) -> None:
    if count > clip.limits.frames:
        raise LargeClipError(
            f"{shown(clip.path)}: {count} frames would be taken of {clip.info.duration:.0f} s, more than the "
            f"{clip.limits.frames} that max_frames allows; raise that, or lower fps"
        )
