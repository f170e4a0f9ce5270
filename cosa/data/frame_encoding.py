"""Frames of clips as JPEG files: encoded as extraction stores them, and decoded as they are read again."""

from io import BytesIO

import numpy as np
from PIL import Image

from cosa.data.extraction_settings import ExtractionSettings


def resized(picture: np.ndarray, short_side: int | None) -> Image.Image:
    """A frame (height, width, 3), uint8 RGB, whose shorter side has at most so many pixels; None keeps its size."""
    image = Image.fromarray(picture)
    if short_side is not None and min(image.size) > short_side:
        scale = short_side / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    return image


def encode_frame(picture: np.ndarray, settings: ExtractionSettings) -> tuple[bytes, tuple[int, int]]:
    """A frame (height, width, 3), uint8 RGB, as the content of a JPEG file, and its (width, height)."""
    image, buffer = resized(picture, settings.short_side), BytesIO()
    image.save(buffer, "JPEG", quality=settings.jpeg_quality)  # 1 to 3 times as fast as torchvision's encoder
    return buffer.getvalue(), image.size


def decode_frame(content: bytes) -> np.ndarray:
    """What `encode_frame` has encoded, as it is read again: (height, width, 3), uint8 RGB."""
    with Image.open(BytesIO(content), formats=("JPEG",)) as image:
        return np.array(image)
