"""What the walks through all containers share."""

import os
from collections.abc import Callable
from typing import BinaryIO

# Given a file and the number of its stream of pictures: what is wrong, in words that follow the file's name, or None.
Walk = Callable[[BinaryIO, int], str | None]
APPENDED = "a second file is appended to the first; cut it apart, or join the clips with a program for videos"


class BrokenError(Exception):
    """The walk has come to a place that makes no sense."""


def bytes_at(file: BinaryIO, position: int, count: int) -> bytes:
    """So many bytes.

    Raises:
        BrokenError: the file ends before.
    """
    size = size_of(file)
    file.seek(min(position, size))
    found = file.read(min(count, size))
    if len(found) < count:
        raise BrokenError(f"truncated, the data end at byte {position + len(found)}")
    return found


def damaged(position: int) -> str:
    """What is said of a place that makes no sense."""
    return f"damaged near byte {position}"


def size_of(file: BinaryIO) -> int:
    """Bytes of the file, which is left at its place."""
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    return size
