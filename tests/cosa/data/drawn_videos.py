"""Small clips whose frames carry their numbers, so that a test sees which frame was read."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS = 8
MILLISECOND = Fraction(1, 1000)


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """Black and white stripes that spell the frame's number in binary, readable after any compression."""
    stripes = [255 * (number >> bit & 1) for bit in range(BITS) for _ in range(width // BITS)]
    stripes += stripes[-1:] * (width - len(stripes))
    return np.broadcast_to(np.array(stripes, np.uint8)[None, :, None], (height, width, 3)).copy()


def number_of(picture: np.ndarray) -> int:
    row = picture[picture.shape[0] // 2].mean(axis=1)
    return sum(int(row[int((bit + 0.5) * len(row) / BITS)] > 128) << bit for bit in range(BITS))


def make_video(
    path: Path,
    codec: str = "libx264",
    *,
    rate: Fraction | int = 10,
    frames: int = 40,
    size: tuple[int, int] = (64, 48),
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    milliseconds: Sequence[int] | None = None,
    as_format: str | None = None,
    noise: bool = False,
) -> Path:
    """A clip whose frames carry their numbers; `milliseconds` gives a variable frame rate, `noise` fills it with data."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format=as_format, options=container or {}) as output:
        stream: Any = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, pixel_format, 12
        if codec.startswith("libvpx"):  # Its threads wait for one another by spinning: two processes on two cores never end.
            stream.codec_context.thread_count = 1
        if milliseconds is not None:
            stream.codec_context.time_base = MILLISECOND
        for number in range(frames):
            picture = numbered_picture(number, *size)
            if noise:
                picture = (picture * 0.6 + rng.integers(0, 100, picture.shape)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[number], MILLISECOND
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
