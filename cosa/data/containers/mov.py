"""mp4 and QuickTime: a file of boxes."""

from collections.abc import Iterator
from typing import BinaryIO

from cosa.data.containers.walk import APPENDED, bytes_at, size_of


def walk_mov(file: BinaryIO, _: int) -> str | None:
    """Look at the headers: a time scale of 0 leaves no times, and a second index belongs to a second file."""
    movies = list(_inside(file, 0, size_of(file), b"moov"))
    if len(movies) > 1:
        return APPENDED
    for movie in movies:
        for path in ((b"mvhd",), (b"trak", b"mdia", b"mdhd")):
            for start, _ in _inside(file, *movie, *path):
                is_long = bytes_at(file, start, 1) == b"\1"
                if not any(bytes_at(file, start + (20 if is_long else 12), 4)):
                    return f"its header ({path[-1].decode()}) has a time scale of 0: nothing says how long a frame is shown"
    return None


def _inside(file: BinaryIO, start: int, end: int, *path: bytes) -> Iterator[tuple[int, int]]:
    """Where the contents of boxes begin and end that are found by their kinds, from the outside to the inside."""
    for kind, first, last in _boxes(file, start, end):
        if kind == path[0] and len(path) == 1:
            yield first, last
        elif kind == path[0]:
            yield from _inside(file, first, last, *path[1:])


def _boxes(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind of every box, where its content begins, and where it ends. What is no box ends the walk: players allow for it."""
    while position + 8 <= end:
        header = bytes_at(file, position, 8)
        length, content = int.from_bytes(header[:4]), position + 8
        if length == 1 and position + 16 <= end:
            length, content = int.from_bytes(bytes_at(file, position + 8, 8)), position + 16
        elif length == 0:
            length = end - position
        if length < content - position:
            return
        yield header[4:], content, min(position + length, end)
        position += length
