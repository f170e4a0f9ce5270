"""Matroska and WebM: elements inside elements."""

from typing import BinaryIO

from cosa.data.containers.walk import APPENDED, BrokenError, damaged, size_of

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TOP = frozenset(
    {_CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF}
)  # index of places, info, tracks, index of times, attachments, chapters, tags, filling, checksum
_IN_CLUSTER = frozenset({0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF})


def walk_matroska(file: BinaryIO, _: int) -> str | None:
    """Follow the elements of the segment and of its clusters."""
    position, end = 0, size_of(file)
    seen_segment = False
    while position < end:
        identity, content, length = _element(file, position)
        if identity == _EBML and seen_segment:
            return APPENDED
        if identity == _SEGMENT:
            seen_segment = True
            stop = end if length is None else content + length
            if stop > end:
                return f"truncated, the data end at byte {end}"
            problem = _walk_segment(file, content, stop)
            if problem is not None:
                return problem
        elif seen_segment:
            return None  # what follows the segment is no matter of the clip
        if length is None:
            return None
        position = content + length
    return None


def _walk_segment(file: BinaryIO, position: int, end: int) -> str | None:
    open_cluster = False  # one whose length is not given ends where something begins that it cannot hold
    while position < end:
        identity, content, length = _element(file, position)
        if identity == _EBML:
            return APPENDED
        if identity == _CLUSTER:
            open_cluster = length is None
            if length is None:
                position = content
                continue
            problem = _walk_cluster(file, content, content + length)
            if problem is not None:
                return problem
        elif identity not in _TOP and not (open_cluster and identity in _IN_CLUSTER):
            return damaged(position)
        if length is None:
            return damaged(position)
        position = content + length
    return None if position == end else f"truncated, the data end at byte {end}"


def _walk_cluster(file: BinaryIO, position: int, end: int) -> str | None:
    while position < end:
        identity, content, length = _element(file, position)
        if identity not in _IN_CLUSTER or length is None:
            return damaged(position)
        position = content + length
    return None if position == end else damaged(end)


def _element(file: BinaryIO, position: int) -> tuple[int, int, int | None]:
    """Identity of the element at a position, where its content begins, and its length, None if that is not known."""
    file.seek(position)
    head = file.read(12)
    if not head or not head[0] & 0xF0:
        raise BrokenError(damaged(position))
    width = 9 - head[0].bit_length()
    rest = head[width:]
    if not rest or not rest[0]:
        raise BrokenError(damaged(position))
    bits = 9 - rest[0].bit_length()
    value = int.from_bytes(rest[:bits]) & (1 << 7 * bits) - 1
    unknown = value == (1 << 7 * bits) - 1
    return int.from_bytes(head[:width]), position + width + bits, None if unknown else value
