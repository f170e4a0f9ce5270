"""Frames of a clip and images on disk, and how they become tensors."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cosa.data.media_files import MediaFolder, absent, missing
from cosa.data.media_ids import path_of, shown
from cosa.data.media_limits import MAX_PIXELS
from cosa.data.pictures import read_picture
from cosa.errors import DataError

IMAGE_SUFFIXES = ("", ".jpg", ".JPEG", ".jpeg", ".JPG", ".png", ".PNG", ".webp")
FRAME_NAME = re.compile(r"frame_(\d+)\.jpg")


class FrameFolders:
    """Clips as folders of frames: `<root>/<video_id>/frame_0001.jpg` and so on, as extraction writes them."""

    def __init__(self, root: Path, linked_folders: Sequence[Path | str] = ()) -> None:
        self.root = root
        self._media = MediaFolder(root, linked_folders)

    def frame_paths(self, video_id: str) -> list[Path]:
        """Frames of a clip in the order of time.

        Raises:
            DataError: unusable identifier, no such folder, no frame in it, or a link that leads where it may not.
        """
        folder = self._media.folder(video_id)
        if folder is None:
            raise DataError(
                f"{path_of(self.root, video_id)} is missing: clip {video_id!r} has no extracted frames; extract them"
            )
        with os.scandir(folder) as entries:  # one system call: this runs for every sample
            numbered = sorted(
                (int(match[1]), entry.name, entry.is_symlink())
                for entry in entries
                if (match := FRAME_NAME.fullmatch(entry.name))
            )
        if not numbered:
            raise DataError(f"{shown(folder)} holds no frames, expected frame_0001.jpg and so on; extract the clip again")
        return [self._media.allowed(folder / name) if is_link else folder / name for _, name, is_link in numbered]

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """The clips that have no folder of frames, by the names of folders alone."""
        return absent(self._media, video_ids, ("",))


class ImageFolder:
    """Single images: `<root>/<image_id>`, with or without one of the usual suffixes."""

    def __init__(self, root: Path, linked_folders: Sequence[Path | str] = ()) -> None:
        self.root = root
        self._media = MediaFolder(root, linked_folders)

    def frame_paths(self, image_id: str) -> list[Path]:
        """The image's file, as a list of one: an image is a clip of one frame.

        Raises:
            DataError: unusable identifier, no such image, or a link that leads where it may not.
        """
        path = self._media.file(image_id, IMAGE_SUFFIXES)
        if path is None:
            raise missing(self.root, image_id, IMAGE_SUFFIXES)
        return [path]

    def missing(self, image_ids: Iterable[str]) -> list[str]:
        """The images that have no file, by the names of files alone."""
        return absent(self._media, image_ids, IMAGE_SUFFIXES)


def load_frames(paths: Sequence[Path], max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode pictures of equal size to RGB; grey, palette, CMYK and transparent ones are converted.

    Args:
        paths: Files of one sample, at least one.
        max_pixels: That one of them may have.

    Returns:
        (frames, 3, height, width), uint8, colours side by side in memory (channels last): no copy is needed to get
        there, and resizing is three times as fast.

    Raises:
        DataError: a file is missing, damaged or too large, or the sizes differ (the message names the file).
        ValueError: no paths.
    """
    if not paths:
        raise ValueError("expected at least one path")
    decoded: dict[Path, np.ndarray] = {}
    for path in paths:  # short clips repeat frames: decode each file once
        if path not in decoded:
            decoded[path] = read_picture(path, max_pixels)
    first = decoded[paths[0]]
    for path, picture in decoded.items():
        if picture.shape != first.shape:
            raise DataError(
                f"{shown(path)} is {_size(picture)} pixels but {paths[0].name} of the same clip is {_size(first)}; the frames "
                "of a clip must have one size: extract the clip again"
            )
    return torch.from_numpy(np.stack([decoded[path] for path in paths])).permute(0, 3, 1, 2)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
