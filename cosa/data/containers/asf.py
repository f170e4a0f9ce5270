"""Windows Media: packets of equal size, which hold parts of numbered objects."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from cosa.data.containers.walk import APPENDED, bytes_at, damaged, size_of

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_LENGTHS = (0, 1, 2, 4)  # bytes of a number, by the two bits that say so


def walk_asf(file: BinaryIO, stream: int) -> str | None:
    """Follow the packets, and the numbers of the objects in the stream of pictures."""
    length = int.from_bytes(bytes_at(file, 0, 30)[16:24], "little")
    size = _asf_packet_size(file, length)
    header = bytes_at(file, length, 50)
    if header[:16] != _ASF_DATA or not size:
        return damaged(length)
    known: int | None = None
    for number in range(int.from_bytes(header[40:48], "little")):
        start = length + 50 + number * size
        try:
            for payload in _asf_payloads(bytes_at(file, start, size)):
                if payload.stream == stream:
                    if not payload.follows(known):
                        return damaged(start)
                    known = payload.number
        except IndexError:
            return damaged(start)
    position = length + int.from_bytes(header[16:24], "little")
    while position + 24 <= size_of(file):  # tables of times follow the data
        head = bytes_at(file, position, 24)
        if head[:16] == _ASF_HEADER:
            return APPENDED
        position += max(24, int.from_bytes(head[16:], "little"))
    return None


def _asf_packet_size(file: BinaryIO, end: int) -> int:
    """Bytes of a packet, which the header has as the smallest and the largest size."""
    position = 30
    while position + 24 <= end:
        head = bytes_at(file, position, 24)
        length = int.from_bytes(head[16:], "little")
        if head[:16] == _ASF_FILE:
            return int.from_bytes(bytes_at(file, position + 92, 4), "little")
        position += max(24, length)
    return 0


class _Numbers:
    """Reads little-endian numbers of a packet one after the other."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def take(self, count: int) -> int:
        if self.position + count > len(self.content):
            raise IndexError
        found = int.from_bytes(self.content[self.position : self.position + count], "little")
        self.position += count
        return found


class _Payload(NamedTuple):
    """A part of a media object. number: of the object, None if several complete ones are packed into it."""

    stream: int
    number: int | None
    offset: int
    numbers: int  # how many there are before they begin anew

    def follows(self, known: int | None) -> bool:
        """Whether it continues the object `known`, or begins the next one."""
        if known is None or self.number is None or self.number == known:
            return True
        return self.offset == 0 and self.number == (known + 1) % self.numbers


def _asf_payloads(packet: bytes) -> Iterator[_Payload]:
    """Payloads of a packet.

    Raises:
        IndexError: the packet is damaged.
    """
    numbers = _Numbers(packet)
    flags = numbers.take(1)
    if flags & 0x80:  # error correction data come first
        numbers.take(flags & 0x0F)
        flags = numbers.take(1)
    properties = numbers.take(1)
    for bits in (5, 1, 3):  # length of the packet, number in a sequence, length of what fills it up
        numbers.take(_LENGTHS[flags >> bits & 3])
    numbers.take(6)  # when it is sent, and for how long
    several = bool(flags & 1)
    shape = numbers.take(1) if several else 1
    wide = _LENGTHS[properties >> 4 & 3]
    for _ in range(shape & 0x3F):
        stream = numbers.take(1) & 0x7F
        number = numbers.take(wide)
        offset = numbers.take(_LENGTHS[properties >> 2 & 3])
        copied = numbers.take(_LENGTHS[properties & 3])
        numbers.take(copied)
        if several:
            numbers.take(numbers.take(_LENGTHS[shape >> 6]))
        yield _Payload(stream, None if copied == 1 else number, offset, 256**wide)
