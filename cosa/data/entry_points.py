"""Where in a video decoding may begin, by what the coded pictures themselves say: a container's key frames are no proof.

A picture is an entry if nothing that is shown after it refers to anything before it: IDR pictures of H.264, pictures for random
access of H.265, key frames of VP8 (RFC 6386) and VP9, and all pictures of codecs that code each by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cosa.data.video_packets import Packet

PictureTest = Callable[[bytes], bool]
_H264_IDR, _H264_SLICES = 5, range(1, 6)
_H265_ENTRIES, _H265_SLICES = range(16, 22), range(32)


@dataclass(frozen=True)
class EntryPoints:
    """The packets of a video whose frames can be found by their timestamps.

    stamps: (packets,) of presentation, in the order of decoding, each once. entries: positions there where decoding may begin.
    are_all_keys: whether all key frames of the container are among them.
    """

    stamps: np.ndarray
    entries: np.ndarray
    are_all_keys: bool = False

    def before(self, stamp: int, position: int) -> int:
        """The last entry from which a frame can be decoded: it comes before the frame in both orders."""
        usable = self.entries[(self.entries <= position) & (self.stamps[self.entries] <= stamp)]
        return int(usable[-1]) if len(usable) else 0


def entry_points(packets: Sequence[Packet]) -> EntryPoints | None:
    """Entries of a video; None where timestamps do not tell its frames apart, or an edit list hides some."""
    stamps = [packet.stamp for packet in packets if packet.stamp is not None and not packet.hidden and not packet.repeats]
    if not packets or len(set(stamps)) < len(packets) or stamps[0] != min(stamps):
        return None
    entries = [position for position, packet in enumerate(packets) if packet.entry or position == 0]
    are_all_keys = all(packet.entry for packet in packets if packet.key)
    return EntryPoints(np.asarray(stamps, np.int64), np.asarray(entries, np.int64), are_all_keys)


def entry_test(stream: Any) -> PictureTest:
    """A test of whether a packet of PyAV's stream, which its container marks as a key frame, is an entry."""
    context = stream.codec_context
    make = _ENTRIES.get(context.codec.canonical_name, _never)
    return make(bytes(context.extradata or b""))


def unreferenced_test(stream: Any) -> PictureTest:
    """A test of whether no other picture refers to that of a packet, so that it need not be decoded for them."""
    context = stream.codec_context
    make = _UNREFERENCED.get(context.codec.canonical_name, _never)
    return make(bytes(context.extradata or b""))


def _never(extradata: bytes) -> PictureTest:
    del extradata
    return lambda _: False


def _always(extradata: bytes) -> PictureTest:
    del extradata
    return lambda _: True


def _h264(is_wanted: Callable[[int], bool]) -> Callable[[bytes], PictureTest]:
    """A test of the first byte of every slice of a picture."""

    def make(extradata: bytes) -> PictureTest:
        if len(extradata) < 7 or extradata[0] != 1:  # Without this record, units are not preceded by their length.
            return _never(extradata)
        size = (extradata[4] & 3) + 1

        def test(packet: bytes) -> bool:
            heads = [head for head in _unit_heads(packet, size) if head & 31 in _H264_SLICES]
            return bool(heads) and all(map(is_wanted, heads))

        return test

    return make


def _h265(extradata: bytes) -> PictureTest:
    if len(extradata) < 23 or extradata[0] != 1:
        return _never(extradata)
    size = (extradata[21] & 3) + 1

    def test(packet: bytes) -> bool:
        kinds = [kind for head in _unit_heads(packet, size) if (kind := head >> 1 & 63) in _H265_SLICES]
        return bool(kinds) and all(kind in _H265_ENTRIES for kind in kinds)

    return test


def _unit_heads(packet: bytes, size: int) -> Iterator[int]:
    """First bytes of the units of a packet. size: bytes of the length before each."""
    place = 0
    while place + size < len(packet):
        length = int.from_bytes(packet[place : place + size], "big")
        yield packet[place + size]
        place += size + length


def _vp8(extradata: bytes) -> PictureTest:
    del extradata
    return lambda packet: len(packet) > 0 and packet[0] & 1 == 0


def _vp9(extradata: bytes) -> PictureTest:
    del extradata

    def test(packet: bytes) -> bool:
        if not packet or packet[0] >> 6 != 2:
            return False
        shift = 2 if packet[0] >> 4 & 3 == 3 else 3  # Profile 3 has a reserved bit.
        return packet[0] >> (shift - 1) & 3 == 0  # neither an existing frame nor one between key frames

    return test


_ENTRIES: dict[str, Callable[[bytes], PictureTest]] = {
    "h264": _h264(lambda head: head & 31 == _H264_IDR),
    "hevc": _h265,
    "vp8": _vp8,
    "vp9": _vp9,
    "mjpeg": _always,
    "prores": _always,
}
_UNREFERENCED: dict[str, Callable[[bytes], PictureTest]] = {"h264": _h264(lambda head: head >> 5 & 3 == 0)}
