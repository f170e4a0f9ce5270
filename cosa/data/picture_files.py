"""Tells pictures from videos, and lists the pictures of a folder of frames; without torch."""

from __future__ import annotations

import re
from pathlib import Path

from cosa.data.media_files import PICTURE_SUFFIXES, PictureFile, open_media
from cosa.errors import DataError
from cosa.message_text import shown

_PICTURE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
_EXPECTED = "a video, a picture or a folder of frames"
_NUMBERS = re.compile(r"(\d+)")


def is_picture(path: Path) -> bool:
    """Whether a file holds a single picture, by its first bytes. A GIF is a video.

    Raises:
        DataError: it is missing or not a file.
    """
    with open_media(path, _EXPECTED) as file:
        start = file.read(16)
    return start.startswith(_PICTURE_STARTS) or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")


def frames_in(folder: Path) -> list[PictureFile]:
    """The pictures of a folder in the order of the numbers in their names.

    Raises:
        DataError: there are none.
    """
    seen = (path for path in folder.iterdir() if not path.name.startswith("."))  # macOS leaves "._" beside each file.
    found = [path for path in seen if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not found:
        raise DataError(f"{shown(folder)} holds no pictures; expected frames such as frame_0001.jpg")
    return [PictureFile(path) for path in sorted(found, key=lambda path: _natural(path.name))]


def middle_picture(path: Path) -> Path:
    """The middle one of a folder of frames; another path is itself.

    Raises:
        DataError: the folder holds no pictures.
    """
    if not path.is_dir():
        return path
    files = frames_in(path)
    return files[len(files) // 2].path


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key by which frame_10 stands behind frame_9."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in _NUMBERS.split(name)]
