"""Flash: a file of tags, each followed by its length."""

from typing import BinaryIO

from cosa.data.containers.walk import APPENDED, bytes_at, damaged, size_of

_FLV_TAGS, _FLV_ENCRYPTED = (8, 9, 18), 0x20  # sound, picture, script


def walk_flv(file: BinaryIO, _: int) -> str | None:
    """Follow the tags."""
    position, end = int.from_bytes(bytes_at(file, 0, 9)[5:]), size_of(file)
    previous = 0  # bytes of the tag before, which are repeated behind it
    while position + 4 < end:
        head = bytes_at(file, position, min(15, end - position))
        tag = head[4:]
        if tag.startswith(b"FLV"):
            return APPENDED
        follows = tag[8:] == b"\0\0\0" or int.from_bytes(head[:4]) == previous
        if len(tag) < 11 or tag[0] & ~_FLV_ENCRYPTED not in _FLV_TAGS or not follows:
            return damaged(position)
        previous = 11 + int.from_bytes(tag[1:4])
        position += 4 + previous
    return None if position <= end else f"truncated, the data end at byte {end}"
