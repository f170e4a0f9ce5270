"""Which frames of a clip are looked at: one from each of k segments of equal length."""

from itertools import pairwise

import numpy as np


def segment_bounds(num_frames: int, count: int) -> list[tuple[int, int]]:
    """Split the frames of a clip into `count` segments, as the published code does.

    A clip of fewer than `count` frames is lengthened by repeating its last frame. The first segments are one frame
    longer where the division leaves a rest.

    Args:
        num_frames: Frames of the clip, at least 1.
        count: Segments, at least 1.

    Returns:
        `count` pairs (first frame, end), the end exclusive; every segment has at least one frame and none beyond
        the clip.

    Raises:
        ValueError: a number below 1.
    """
    if num_frames < 1 or count < 1:
        raise ValueError(f"expected at least 1 frame and 1 segment, found {num_frames} and {count}")
    length, rest = divmod(max(num_frames, count), count)
    starts = [segment * length + min(segment, rest) for segment in range(count + 1)]
    if num_frames >= count:
        return list(pairwise(starts))
    last = num_frames - 1
    return [(min(start, last), min(start, last) + 1) for start in starts[:-1]]


def sample_frame_indices(num_frames: int, count: int, generator: np.random.Generator | None = None) -> list[int]:
    """Draw one frame from each of `count` equal segments.

    Args:
        num_frames: Frames of the clip, at least 1.
        count: Frames wanted, at least 1.
        generator: Source of randomness in training; without it (evaluation) the middle frame of each segment is
            taken, the earlier of the two middle ones where the segment has an even length.

    Returns:
        `count` frame indices in ascending order; a short clip's last frame is repeated.

    Raises:
        ValueError: a number below 1.
    """
    bounds = segment_bounds(num_frames, count)
    if generator is None:
        return [(start + end - 1) // 2 for start, end in bounds]
    return [int(generator.integers(start, end)) for start, end in bounds]
