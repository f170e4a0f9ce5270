"""RealMedia: packets."""

from typing import BinaryIO

from cosa.data.containers.walk import APPENDED, bytes_at, damaged, size_of


def walk_realmedia(file: BinaryIO, _: int) -> str | None:
    """Follow the packets."""
    position, end = 0, size_of(file)
    while position + 18 <= end:
        head = bytes_at(file, position, 18)
        length = int.from_bytes(head[4:8])
        if head[:4] == b".RMF" and position:
            return APPENDED
        if head[:4] == b"DATA":
            return _walk_rm_packets(file, position + 18, int.from_bytes(head[10:14]))
        if length < 8:
            return damaged(position)
        position += length
    return f"truncated, the data end at byte {end}"


def _walk_rm_packets(file: BinaryIO, position: int, count: int) -> str | None:
    for _ in range(count):
        head = bytes_at(file, position, 12)
        length = int.from_bytes(head[2:4])
        if head[:2] not in (b"\0\0", b"\0\1") or length < len(head):
            return damaged(position)
        position += length
    return None
