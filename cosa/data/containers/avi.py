"""AVI: lists of chunks."""

from collections.abc import Iterator
from typing import BinaryIO

from cosa.data.containers.walk import APPENDED, bytes_at, damaged, size_of


def walk_avi(file: BinaryIO, _: int) -> str | None:
    """Follow the chunks of all lists of pictures and sound."""
    position, end, first = 0, size_of(file), True
    while position + 12 <= end:
        header = bytes_at(file, position, 12)
        form = header[8:]
        if header[:4] != b"RIFF" or form not in (b"AVI ", b"AVIX"):
            return None  # what follows the last list is no matter of the clip
        if form == b"AVI " and not first:
            return APPENDED
        length = int.from_bytes(header[4:8], "little")
        last = min(end, position + 8 + length) if length else end
        lists = list(_movie_lists(file, position + 12, last))
        if not lists:
            return damaged(position + 12)
        for start, stop in lists:
            problem = _walk_chunks(file, start, stop)
            if problem is not None:
                return problem
        position, first = position + 8 + length + length % 2, False
        if not length:
            return None
    return None


def _movie_lists(file: BinaryIO, position: int, end: int) -> Iterator[tuple[int, int]]:
    while position + 12 <= end:
        header = bytes_at(file, position, 12)
        length = int.from_bytes(header[4:8], "little")
        if header[:4] == b"LIST" and header[8:] == b"movi":
            yield position + 12, position + 8 + length if length else end
        position += 8 + length + length % 2


def _walk_chunks(file: BinaryIO, position: int, end: int) -> str | None:
    if end > size_of(file):
        return f"truncated, the data end at byte {size_of(file)}"
    while position + 8 <= end:
        header = bytes_at(file, position, 8)
        name, length = header[:4], int.from_bytes(header[4:], "little")
        if name == b"LIST":  # a group of chunks
            position += 12
            continue
        if not (name in (b"JUNK", b"idx1") or name[:2].isdigit() or name[:2] == b"ix") or position + 8 + length > end:
            return damaged(position)
        position += 8 + length + length % 2
    return None
