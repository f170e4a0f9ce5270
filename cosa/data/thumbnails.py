"""Small pictures of clips, for pages that people look at: nothing is measured on them."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from PIL import Image

from cosa.data.frame_shards import ShardFrame
from cosa.data.media_files import PictureFile
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.picture_files import is_picture, middle_picture
from cosa.data.video_sources import VideoFile
from cosa.data.videos import opened_stream, upright
from cosa.errors import DataError
from cosa.message_text import shown

T = TypeVar("T")
QUALITY = 72  # of JPEG
SIDE = 320  # pixels of the longer side


def thumbnail(file: PictureFile | ShardFrame, side: int = SIDE, max_pixels: int = MAX_PIXELS) -> bytes:
    """A picture as a JPEG whose longer side has at most `side` pixels; a smaller picture keeps its size.

    Raises:
        DataError: the file cannot be used; it names the file.
    """
    return small_jpeg(file.read(max_pixels), side)


def thumbnail_of_media(path: Path, seconds: float = 0.0, side: int = SIDE) -> bytes:
    """A JPEG of a picture, of the middle one of a folder of frames, or of a video at about a time.

    A video is not decoded from its beginning, so the time is not exact.

    Raises:
        DataError: the file is missing, damaged or of another kind.
    """
    file = middle_picture(path)
    return thumbnail(PictureFile(file), side) if is_picture(file) else small_jpeg(_frame_near(file, seconds), side)


def small_jpeg(picture: np.ndarray, side: int = SIDE) -> bytes:
    """A picture (height, width, 3), uint8 RGB, as a JPEG whose longer side has at most `side` pixels."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def _frame_near(path: Path, seconds: float) -> np.ndarray:
    """The frame of a video at a time, or the nearest that can be had; (height, width, 3) uint8 RGB."""
    with opened_stream(VideoFile(path)) as (container, stream):
        begin = container.start_time or 0
        container.seek(begin + int(seconds * av.time_base), backward=True, any_frame=False)
        found = None
        for frame in container.decode(stream):
            found = frame
            if frame.time is None or frame.time - begin / av.time_base >= seconds:
                break
        if found is None:
            raise DataError(f"{shown(path)}: no frame could be decoded")
        return upright(found)


def spread(files: Sequence[T], count: int) -> Sequence[T]:
    """At most `count` files: the middle ones of equal parts of a clip."""
    if len(files) <= count:
        return files
    return [files[int((part + 0.5) * len(files) / count)] for part in range(count)]
