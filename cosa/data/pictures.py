"""The one place where picture files are opened: which formats, how large, and what is said of one that cannot be used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from cosa.data.frame_checks import check_frame
from cosa.data.media_files import open_media
from cosa.data.media_limits import MAX_PIXELS
from cosa.errors import DataError
from cosa.message_text import shown

# By content, whatever the name says. Pillow knows formats that start other programs (EPS starts Ghostscript).
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_EXPECTED = "a picture (JPEG, PNG, WebP, GIF or BMP)"
_MEND = "; replace the file or extract the clip again"
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_LARGEST_PIXEL = 8  # bytes that a pixel takes in the largest format, four channels of 16 bits without compression
_OTHER_CONTENT = 2**24  # bytes of a file that are no pixels: previews, colour profiles, notes

# Our own bound takes the place of Pillow's, which a spec could not raise. It too is checked before pixels are decoded.
Image.MAX_IMAGE_PIXELS = None


def read_picture(
    path: Path, max_pixels: int = MAX_PIXELS, digest: str = "", place: tuple[int, int] | None = None
) -> np.ndarray:
    """(height, width, 3), uint8 RGB, upright according to its EXIF orientation. Of an animation the first frame.

    digest and place: as of `PictureFile`.

    Raises:
        DataError: missing, not a regular file, empty, damaged, too large, of another format, or of another digest; it names
            the file.
    """
    with open_media(path, _EXPECTED) as file:
        start, size = place or (0, os.fstat(file.fileno()).st_size)
        check_bytes(path, size, max_pixels)
        file.seek(start)
        content = file.read() if place is None else file.read(size)
    if digest:
        check_frame(path, content, digest)
    if not content:
        raise DataError(f"{shown(path)} is empty (0 bytes), expected a picture; replace the file or extract the clip again")
    return decode_picture(content, path, max_pixels)


def decode_picture(content: bytes, name: object, max_pixels: int = MAX_PIXELS, mend: str = _MEND) -> np.ndarray:
    """Decode the bytes of a picture as `read_picture` does.

    Args:
        content: of a file, not empty.
        name: of the picture, for messages.
        max_pixels: that it may have.
        mend: what to do about one that cannot be read, for the message.

    Raises:
        DataError: damaged, too large or of another format.
    """
    with _picture_errors(name, mend):
        return _decode(name, content, max_pixels)


def check_bytes(path: Path, size: int, max_pixels: int) -> None:
    """Raise DataError if a picture has more bytes than one of so many pixels may have."""
    if size > most_bytes(max_pixels):
        raise DataError(f"{shown(path)} has {size / 2**20:.0f} MiB, too many for a picture of at most {max_pixels} pixels")


def most_bytes(max_pixels: int) -> int:
    """Bytes that a file of a picture of so many pixels may have."""
    return _LARGEST_PIXEL * max_pixels + _OTHER_CONTENT


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) as stored, from the header alone; errors as of `read_picture`."""
    with open_media(path, _EXPECTED) as file, _picture_errors(path, _MEND), _opened(file) as image:
        return image.size


@contextmanager
def _opened(file: BinaryIO | BytesIO) -> Iterator[Image.Image]:
    with Image.open(file, formats=PICTURE_FORMATS) as image:
        yield image


@contextmanager
def _picture_errors(name: object, mend: str) -> Iterator[None]:
    """Turn whatever a decoder raises for bytes that it does not understand into a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{shown(name)} is not a readable picture (JPEG, PNG, WebP, GIF or BMP){mend}") from error


def _decode(name: object, content: bytes, max_pixels: int) -> np.ndarray:
    # Pillow, as torchvision's decoders are deprecated; with these arrays it is as fast from 224 pixels on.
    if content.startswith(_JPEG_START) and content.endswith(b"\0") and not content.rstrip(b"\0").endswith(_JPEG_END):
        raise ValueError("zeros where the picture should continue")  # an interrupted copy; Pillow would show grey
    with _opened(BytesIO(content)) as opened:
        width, height = opened.size
        if width * height > max_pixels:
            raise DataError(f"{shown(name)} has {width} x {height} pixels, more than the {max_pixels} that max_pixels allows")
        image: Image.Image = ImageOps.exif_transpose(opened) if "exif" in opened.info else opened
        if image.mode.startswith("I;16") or image.mode == "I":  # Pillow clips 16-bit grey instead of scaling it
            image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8))
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
