"""What the packets of a video say: which frames are shown, when, and whether any are missing. Nothing is decoded for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cosa.data.clip_errors import DamagedClipError, NoVideoError
from cosa.data.entry_points import entry_test
from cosa.data.media_limits import MediaLimits
from cosa.message_text import shown

# In files of these kinds timestamps may begin anew, where recordings were joined byte by byte.
_MAY_BEGIN_ANEW = frozenset({"mpeg", "mpegts", "flv", "asf", "ogg", "rm"})
_DURATION_IS_ESTIMATED = frozenset({"mpegts", "mpeg"})
_STEADY_CODECS = frozenset({"mpeg1video", "mpeg2video"})  # their standard fixes the number of frames a second
_BACK = 0.2  # seconds; timestamps that fall back further begin anew
_GAP = 0.5  # seconds without a frame, where frames come steadily
_JUMP = 10.0  # seconds; ffmpeg, too, takes more in a broadcast for a break
_MICROSECONDS = 1e6
_MOST_A_SECOND = 1000  # packets
_ALIKE = 1.5  # between the lengths of packets that a steady rate has, rounded to timestamps
SAME_TIME = 1e-6  # seconds; timestamps closer than this are one


class Packet(NamedTuple):
    """A coded picture. repeats: it has no bytes, and the picture before it is shown on. hidden: by an edit list. entry:
    decoding may begin with it."""

    decode_stamp: int | None
    stamp: int | None
    length: int
    key: bool
    hidden: bool
    repeats: bool
    entry: bool = False


@dataclass(frozen=True)
class Timeline:
    """When frames are shown.

    times: (shown frames,) seconds since the first one, ascending. starts: for each part of the file, the first timestamp that
    is shown and its time in seconds; empty where timestamps are useless and order counts. second: duration of a unit of
    timestamps, in seconds. duration: to the end of the last frame, in seconds.
    """

    times: np.ndarray
    starts: tuple[tuple[int, float], ...]
    second: float
    duration: float

    def shown_at(self, seconds: np.ndarray) -> np.ndarray:
        """The numbers of the frames, from 0, that are shown at some times, in seconds."""
        return np.maximum(np.searchsorted(self.times, seconds + SAME_TIME, side="right") - 1, 0)


class Clock:
    """Time of decoded frames, which come in the order in which they are shown."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._part, self._position = 0, 0
        self._last: int | None = None

    def time(self, stamp: int | None) -> float | None:
        """Seconds since the first shown frame; None if the frame comes before it.

        stamp: of the next decoded frame.
        """
        times, starts = self.timeline.times, self.timeline.starts
        position, self._position = self._position, self._position + 1
        if not starts or stamp is None:
            return float(times[min(position, len(times) - 1)])
        if self._last is not None and (self._last - stamp) * self.timeline.second > _BACK and self._part + 1 < len(starts):
            self._part += 1
        self._last = stamp
        start, offset = starts[self._part]
        return None if stamp < start else offset + (stamp - start) * self.timeline.second


def read_packets(container: Any, stream: Any, path: Path, limits: MediaLimits) -> list[Packet]:
    """Read all packets without decoding: real timestamps, and whether the file ends where its header says.

    Raises:
        DataError: a packet is damaged, the end is missing, or there are too many.
    """
    found: list[Packet] = []
    is_entry = entry_test(stream)
    end_of_all, end = 0.0, 0.0
    for packet in container.demux():
        stamp = packet.pts if packet.pts is not None else packet.dts
        if packet.size == 0 and stamp is None:  # the flush packet at the end
            continue
        ends = 0.0 if stamp is None else float((stamp + (packet.duration or 0)) * packet.time_base)
        end_of_all = max(end_of_all, ends)
        if packet.stream.index != stream.index:
            continue
        end = max(end, ends)
        if packet.is_corrupt:
            raise DamagedClipError(f"{shown(path)}: truncated or damaged near {end:.2f} s")
        if len(found) > limits.seconds * _MOST_A_SECOND:
            raise DamagedClipError(
                f"{shown(path)}: more than {len(found)} packets for {limits.seconds:.0f} s; the file is damaged"
            )
        key, repeats = packet.is_keyframe, packet.size == 0
        entry = key and is_entry(bytes(packet))
        found.append(Packet(packet.dts, packet.pts, packet.duration or 0, key, packet.is_discard, repeats, entry))
    _check_complete(container, stream, path, end_of_all=end_of_all, end=end)
    return found


def _check_complete(container: Any, stream: Any, path: Path, *, end_of_all: float, end: float) -> None:
    name = container.format.name
    if name in _DURATION_IS_ESTIMATED:
        return
    promised = (container.duration or 0) / _MICROSECONDS
    if name == "avi" and stream.average_rate:  # its duration is corrected to the index that is left
        promised = max(promised, float(stream.frames / stream.average_rate))
    own = float(stream.duration * stream.time_base) if stream.duration is not None else 0.0
    for header, found in ((promised, end_of_all), (own, end)):
        if found + max(0.5, 0.02 * header) < header:
            raise DamagedClipError(f"{shown(path)}: truncated, the data end at {found:.2f} s of {header:.2f} s")


def timeline_of(packets: Sequence[Packet], container: Any, stream: Any, path: Path) -> Timeline:
    """When the frames of the packets are shown.

    AVI has no presentation times (what PyAV gives there is a guess): its frames follow one another in decoding order.

    Raises:
        DataError: no frame is shown, or frames are missing in the middle.
    """
    name = container.format.name.split(",")[0]
    seconds = float(stream.time_base)
    parts = [_visible(part) for part in (_parts(packets, seconds) if name in _MAY_BEGIN_ANEW else [packets])]
    parts = [part for part in parts if part]
    if not parts:
        raise NoVideoError(f"{shown(path)}: the video stream has no frames")
    by_order = name == "avi" or any(packet.stamp is None for part in parts for packet in part)
    if any((packet.decode_stamp if by_order else packet.stamp) is None for part in parts for packet in part):
        count = sum(map(len, parts))  # no usable timestamps at all: count
        interval = 1 / float(stream.average_rate) if stream.average_rate else 0.0
        return Timeline(np.arange(count) * interval, (), seconds, count * interval)
    times, starts, ends = [], [], 0.0
    for part in parts:
        own, start, duration = _times_of(part, stream, by_order=by_order, lengths_of_decoding=name == "mov")
        starts.append((start, ends))
        times.append(own + ends)
        ends += duration
    timeline = Timeline(np.concatenate(times), () if by_order else tuple(starts), seconds, ends)
    _check_gaps(timeline, name, stream.codec_context.name, path)
    return timeline


def _parts(packets: Sequence[Packet], seconds: float) -> list[list[Packet]]:
    """The packets cut wherever timestamps begin anew."""
    parts: list[list[Packet]] = [[]]
    last: int | None = None
    for packet in packets:
        if packet.decode_stamp is not None:
            if last is not None and (last - packet.decode_stamp) * seconds > _BACK:
                parts.append([])
            last = packet.decode_stamp
        parts[-1].append(packet)
    return parts


def _visible(packets: Sequence[Packet]) -> list[Packet]:
    """Without those that an edit list hides or that come before the first key frame in either order."""
    first_key = next((position for position, packet in enumerate(packets) if packet.key), 0)
    start = packets[first_key].stamp if packets else None
    return [
        packet
        for packet in packets[first_key:]
        if not packet.hidden and (start is None or packet.stamp is None or packet.stamp >= start)
    ]


def _times_of(
    packets: Sequence[Packet], stream: Any, *, by_order: bool, lengths_of_decoding: bool
) -> tuple[np.ndarray, int, float]:
    """Times of the frames of one part in seconds since its first one, its first timestamp, and its duration.

    lengths_of_decoding: whether the length of a packet says when the next one is decoded, instead of shown.
    """
    seconds = float(stream.time_base)
    stamped = [
        (stamp, packet) for packet in packets if (stamp := packet.decode_stamp if by_order else packet.stamp) is not None
    ]
    start, last = min(stamp for stamp, _ in stamped), max(stamp for stamp, _ in stamped)
    # AVI counts its frames, so that one that repeats another has a place of its own; elsewhere the other is merely shown on.
    own = [stamp for stamp, packet in stamped if not packet.repeats]
    times = (np.sort(np.asarray(own or [start], dtype=np.int64)) - start) * seconds
    end = max(stamp + packet.length for stamp, packet in stamped)
    if lengths_of_decoding and not _are_steady(stamped):
        end = last + stamped[-1][1].length  # of the one that is decoded last: it has no next
    if end > last:
        return times, start, (end - start) * seconds
    # The last packet does not say how long it is shown.
    spanned = (last - start) * seconds
    interval = spanned / (len(stamped) - 1) if len(stamped) > 1 else 1 / float(stream.average_rate or 1)
    return times, start, spanned + interval


def _are_steady(stamped: Sequence[tuple[int, Packet]]) -> bool:
    """Whether packets come in the order in which they are shown, or have about the same lengths, so that either order will do.

    The length of the last one is none that a file measures.
    """
    stamps, lengths = [stamp for stamp, _ in stamped], [packet.length for _, packet in stamped[:-1]]
    return stamps == sorted(stamps) or max(lengths) <= _ALIKE * min(lengths)


def _check_gaps(timeline: Timeline, container: str, codec: str, path: Path) -> None:
    allowed = _GAP if codec in _STEADY_CODECS else _JUMP if container in _DURATION_IS_ESTIMATED else float("inf")
    gaps = np.diff(timeline.times)
    if len(gaps) and gaps.max() > allowed:
        begin = int(gaps.argmax())
        raise DamagedClipError(
            f"{shown(path)}: no frames from {timeline.times[begin]:.2f} s to {timeline.times[begin + 1]:.2f} s; data are "
            "missing there, or files were joined: fetch it again, or convert it"
        )
