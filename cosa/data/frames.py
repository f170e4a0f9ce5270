"""Frames of a clip and images on disk, and how they become tensors."""

import os
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from cosa.data.annotations import check_media_id
from cosa.errors import DataError

IMAGE_SUFFIXES = ("", ".jpg", ".JPEG", ".jpeg", ".JPG", ".png", ".PNG", ".webp")
_FRAME_NAME = re.compile(r"frame_(\d+)\.jpg")
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


@dataclass(frozen=True)
class FrameFolders:
    """Clips as folders of frames: `<root>/<video_id>/frame_0001.jpg` and so on, as extraction writes them."""

    root: Path

    def frame_paths(self, video_id: str) -> list[Path]:
        """Frames of a clip in the order of time.

        Raises:
            DataError: unusable identifier, no such folder, or no frame in it.
        """
        check_media_id(video_id)
        folder = self.root / video_id
        try:
            names = os.listdir(folder)  # noqa: PTH208  one system call and no Path objects: this runs for every sample
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(f"{folder} is missing: clip {video_id!r} has no extracted frames; extract them") from error
        numbered = sorted((int(match[1]), name) for name in names if (match := _FRAME_NAME.fullmatch(name)))
        if not numbered:
            raise DataError(f"{folder} holds no frames, expected frame_0001.jpg and so on; extract the clip again")
        return [folder / name for _, name in numbered]

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """The clips that have no folder of frames; see `_absent`."""
        return _absent(self.root, video_ids, ("",))


@dataclass(frozen=True)
class ImageFolder:
    """Single images: `<root>/<image_id>`, with or without one of the usual suffixes."""

    root: Path

    def frame_paths(self, image_id: str) -> list[Path]:
        """The image's file, as a list of one: an image is a clip of one frame.

        Raises:
            DataError: unusable identifier or no such image.
        """
        check_media_id(image_id)
        for suffix in IMAGE_SUFFIXES:
            path = self.root / f"{image_id}{suffix}"
            if path.is_file():
                return [path]
        tried = ", ".join(suffix for suffix in IMAGE_SUFFIXES if suffix)
        raise DataError(f"{self.root / image_id} is missing; tried the name as it is and with {tried}")

    def missing(self, image_ids: Iterable[str]) -> list[str]:
        """The images that have no file; see `_absent`."""
        return _absent(self.root, image_ids, IMAGE_SUFFIXES)


def _absent(root: Path, media_ids: Iterable[str], suffixes: Sequence[str]) -> list[str]:
    """The identifiers without an entry of that name (and one of the suffixes) below the root.

    Every folder that identifiers name is listed once: millions of files are checked in seconds, without opening any.
    """
    names: dict[str, set[str]] = {}
    absent = []
    for media_id in dict.fromkeys(media_ids):
        check_media_id(media_id)
        parent, _, name = media_id.rpartition("/")
        if parent not in names:
            try:
                names[parent] = set(os.listdir(root / parent))  # noqa: PTH208  no Path objects for millions of names
            except (FileNotFoundError, NotADirectoryError):
                names[parent] = set()
        if not any(name + suffix in names[parent] for suffix in suffixes):
            absent.append(media_id)
    return absent


def load_frames(paths: Sequence[Path]) -> Tensor:
    """Decode pictures of equal size to RGB; grey, palette, CMYK and transparent ones are converted.

    Args:
        paths: Files of one sample, at least one.

    Returns:
        (frames, 3, height, width), uint8, colours side by side in memory (channels last): no copy is needed to get
        there, and resizing is three times as fast.

    Raises:
        DataError: a file is missing or damaged, or the sizes differ (the message names the file).
        ValueError: no paths.
    """
    if not paths:
        raise ValueError("expected at least one path")
    decoded: dict[Path, np.ndarray] = {}
    for path in paths:  # short clips repeat frames: decode each file once
        if path not in decoded:
            decoded[path] = _load_picture(path)
    first = decoded[paths[0]]
    for path, picture in decoded.items():
        if picture.shape != first.shape:
            raise DataError(
                f"{path} is {_size(picture)} pixels but {paths[0].name} of the same clip is {_size(first)}; the frames "
                "of a clip must have one size: extract the clip again"
            )
    return torch.from_numpy(np.stack([decoded[path] for path in paths])).permute(0, 3, 1, 2)


def _load_picture(path: Path) -> np.ndarray:
    """(height, width, 3), uint8 RGB, upright according to its EXIF orientation."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DataError(f"{path} is missing or not a file; expected a picture") from error
    if not content:
        raise DataError(f"{path} is empty (0 bytes), expected a picture; replace the file or extract the clip again")
    try:
        return _decode(content)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable picture; replace the file or extract the clip again") from error


def _decode(content: bytes) -> np.ndarray:
    # Pillow, as torchvision's decoders are deprecated; with these arrays it is as fast from 224 pixels on.
    if content.startswith(_JPEG_START) and content.endswith(b"\0") and not content.rstrip(b"\0").endswith(_JPEG_END):
        raise ValueError("zeros where the picture should go on")  # an interrupted copy; Pillow would show grey
    with Image.open(BytesIO(content)) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened) if "exif" in opened.info else opened
        if image.mode.startswith("I;16") or image.mode == "I":  # Pillow clips 16-bit grey instead of scaling it
            image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8))
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
