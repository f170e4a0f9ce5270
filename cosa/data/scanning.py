"""Says by the headers of a video whether its pictures are progressive: decoders differ in the colours of interlaced ones."""

from __future__ import annotations

_NEVER_INTERLACED = frozenset({"vp8", "vp9", "av1"})
_WITH_CHROMA_FORMAT = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})  # profiles of H.264


def is_progressive(codec: str, extradata: bytes) -> bool:
    """Whether no picture can be interlaced; False also where the headers do not prove it.

    codec: FFmpeg's name. extradata: of the stream; of H.264 the record for decoders of mp4 and Matroska (ISO/IEC 14496-15).
    """
    if codec in _NEVER_INTERLACED:
        return True
    if codec != "h264" or len(extradata) < 7 or extradata[0] != 1:
        return False
    try:
        units = _parameter_sets(extradata)
        return bool(units) and all(_holds_frames_only(unit) for unit in units)
    except EOFError:  # The headers are cut off, so that they prove nothing.
        return False


def _parameter_sets(record: bytes) -> list[bytes]:
    """The sequence parameter sets of H.264, without the bytes that only keep start codes from appearing in them."""
    place, found = 6, []
    for _ in range(record[5] & 31):
        end = place + 2 + int.from_bytes(record[place : place + 2], "big")
        if end > len(record):
            raise EOFError
        found.append(record[place + 2 : end].replace(b"\0\0\3", b"\0\0"))
        place = end
    return found


class _Bits:
    """Reads numbers of some bits, and those of Exp-Golomb codes. It raises EOFError at the end."""

    def __init__(self, content: bytes) -> None:
        self._text, self._place = "".join(f"{byte:08b}" for byte in content), 0

    def fixed(self, count: int) -> int:
        """An unsigned number of so many bits."""
        text = self._text[self._place : self._place + count]
        if len(text) < count:
            raise EOFError
        self._place += count
        return int(text, 2) if text else 0

    def coded(self) -> int:
        """An unsigned number of an Exp-Golomb code. Signed ones take the same bits."""
        zeros = 0
        while self.fixed(1) == 0:
            zeros += 1
        return (1 << zeros) - 1 + self.fixed(zeros)

    def signed(self) -> int:
        """A signed number of an Exp-Golomb code: 1, -1, 2, -2, ..."""
        number = self.coded()
        return (number + 1) // 2 if number % 2 else -(number // 2)


def _holds_frames_only(unit: bytes) -> bool:
    """The field frame_mbs_only_flag of a sequence parameter set (ITU-T H.264, 7.3.2.1.1), behind those that precede it.

    Raises:
        EOFError: it ends before.
    """
    bits = _Bits(unit)
    bits.fixed(8)  # the head of the unit
    profile = bits.fixed(8)
    bits.fixed(16)  # constraints and level
    bits.coded()  # identifier
    if profile in _WITH_CHROMA_FORMAT:
        chroma = bits.coded()
        if chroma == 3:
            bits.fixed(1)
        bits.coded()  # depths of luma and chroma
        bits.coded()
        bits.fixed(1)
        if bits.fixed(1):
            _skip_scaling_lists(bits, 12 if chroma == 3 else 8)
    bits.coded()  # size of frame numbers
    order = bits.coded()
    if order == 0:
        bits.coded()
    elif order == 1:
        bits.fixed(1)
        for _ in range(2):
            bits.coded()
        for _ in range(bits.coded()):
            bits.coded()
    bits.coded()  # reference frames
    bits.fixed(1)
    bits.coded()  # width and height
    bits.coded()
    return bits.fixed(1) == 1


def _skip_scaling_lists(bits: _Bits, count: int) -> None:
    """Read lists of weights of coefficients (7.3.2.1.1.1): six for blocks of 4 x 4, the others for blocks of 8 x 8."""
    for number in range(count):
        if not bits.fixed(1):
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last
