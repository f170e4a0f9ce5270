"""GIF: blocks."""

from typing import BinaryIO

from cosa.data.containers.walk import APPENDED, bytes_at, damaged, size_of


def walk_gif(file: BinaryIO, _: int) -> str | None:
    """Follow the blocks to the end mark."""
    end = size_of(file)
    position = 13 + _colours(bytes_at(file, 0, 13)[10])
    while position < end:
        kind = bytes_at(file, position, 1)
        if kind == b";":
            return APPENDED if file.read(4) == b"GIF8" else None
        if kind == b",":
            position += 10 + _colours(bytes_at(file, position, 10)[9]) + 1
        elif kind == b"!":
            position += 2
        else:
            return damaged(position)
        while length := bytes_at(file, position, 1)[0]:
            position += 1 + length
        position += 1
    return "truncated, the end mark of the GIF is missing"


def _colours(flags: int) -> int:
    """Bytes of the table of colours that follows."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
