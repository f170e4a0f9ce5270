"""Frames of a clip and images on disk, and how they become tensors."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cosa.data.clip_errors import NoMediaError
from cosa.data.frame_digests import FRAME_NAME
from cosa.data.frame_shards import ShardFrame
from cosa.data.media_files import IMAGE_SUFFIXES, MediaFolder, PictureFile, absent
from cosa.data.media_ids import path_of
from cosa.data.media_limits import MAX_PIXELS
from cosa.errors import DataError
from cosa.message_text import quoted, shown

PROVIDE = "provide them, or remove their annotations"


class FrameFolders:
    """A person's own frames of clips, in folders: `<root>/<video_id>/frame_0001.jpg` and so on.

    what and mend: how a message names what is missing, and what to do then.
    """

    what = "folders of frames"
    mend = PROVIDE

    def __init__(self, root: Path, linked_folders: Sequence[Path | str] = ()) -> None:
        self.root = root
        self._media = MediaFolder(root, linked_folders)

    def files(self, video_id: str) -> list[PictureFile]:
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
        return [PictureFile(self._media.allowed(folder / name) if is_link else folder / name) for _, name, is_link in numbered]

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """The clips that have no folder of frames, by the names of folders alone."""
        return absent(self._media, video_ids, ("",))


class ImageFolder:
    """Single images: `<root>/<image_id>`, with or without one of the usual suffixes. what and mend: as of `FrameFolders`."""

    what = "images"
    mend = PROVIDE

    def __init__(self, root: Path, linked_folders: Sequence[Path | str] = ()) -> None:
        self.root = root
        self._media = MediaFolder(root, linked_folders)

    def files(self, image_id: str) -> list[PictureFile]:
        """The image's file, as a list of one: an image is a clip of one frame.

        Raises:
            DataError: unusable identifier, no such image, or a link that leads where it may not.
        """
        path = self._media.file(image_id, IMAGE_SUFFIXES)
        if path is None:
            raise NoMediaError(f"no image {quoted(image_id)} in {shown(self.root)}")
        return [PictureFile(path)]

    def missing(self, image_ids: Iterable[str]) -> list[str]:
        """The images that have no file, by the names of files alone."""
        return absent(self._media, image_ids, IMAGE_SUFFIXES)


def load_frames(files: Sequence[PictureFile | ShardFrame], max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode pictures of equal size to RGB; grey, palette, CMYK and transparent ones are converted.

    Args:
        files: Pictures of one sample, at least one.
        max_pixels: That one of them may have.

    Returns:
        (frames, 3, height, width), uint8, colours side by side in memory (channels last): no copy is needed to get
        there, and resizing is three times as fast.

    Raises:
        DataError: a file is missing, damaged, too large or not what extraction wrote, or the sizes differ (the message
            names the file).
        ValueError: no files.
    """
    if not files:
        raise ValueError("expected at least one file")
    decoded: dict[PictureFile | ShardFrame, np.ndarray] = {}
    for file in files:  # short clips repeat frames: decode each file once
        if file not in decoded:
            decoded[file] = file.read(max_pixels)
    first = decoded[files[0]]
    for file, picture in decoded.items():
        if picture.shape != first.shape:
            raise DataError(
                f"{shown(file.path)} is {_size(picture)} pixels but {files[0].path.name} of the same clip is {_size(first)}; "
                "the frames of a clip must have one size: extract the clip again"
            )
    return torch.from_numpy(np.stack([decoded[file] for file in files])).permute(0, 3, 1, 2)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
