"""Frames of decoders that are asked for them by their numbers in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cosa.data.clip_errors import DecoderError
from cosa.data.frame_times import FrameTimes
from cosa.data.videos import OpenedVideo
from cosa.message_text import shown


def picked(
    video: OpenedVideo, times: FrameTimes, places: Sequence[int], read: Callable[[list[int]], np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield the frames of `sample_video`. read: gives frames of ascending numbers, (frames, height, width, 3) uint8 RGB."""
    numbers = video.timeline.shown_at(times.seconds[np.asarray(places, dtype=int)])
    wanted, positions = np.unique(numbers, return_inverse=True)  # One frame may be shown at several times.
    pictures = read(wanted.tolist())
    yield from (pictures[position] for position in positions)


def check_count(decoder: str, video: OpenedVideo, count: int) -> None:
    """Check that a decoder counts the frames that the packets promise.

    Raises:
        DecoderError: it counts others, so that its numbers mean other frames.
    """
    expected = len(video.timeline.times)
    if count != expected:
        raise DecoderError(
            f"{shown(video.path)}: {decoder} counts {count} frames, but its packets hold {expected}; set decode.decoder of the "
            "dataset to auto"
        )
