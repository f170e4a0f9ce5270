"""Decodes only the parts of a video that hold wanted frames. They are those of decoding in order, or the file is decoded so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from cosa.data.entry_points import EntryPoints, unreferenced_test
from cosa.data.frame_times import FrameTimes
from cosa.data.videos import OpenedVideo, opened_stream, sample_video, upright
from cosa.errors import DataError


class _UnexpectedError(Exception):
    """A frame did not come as its packets promise."""


def sample_by_seeking(video: OpenedVideo, times: FrameTimes, places: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames of `sample_video`; damage outside of the parts that are decoded is not found.

    Errors and arguments are those of `sample_video`, which reads the file where something is not as expected: a timestamp that
    decoding does not give back, a seek that leads behind its goal, damage.
    """
    try:
        stamps = _stamps_at(video, times.seconds[np.asarray(places, dtype=int)])
        pictures = _decoded(video, dict.fromkeys(stamps))
        if len({picture.shape for picture in pictures.values()}) > 1:
            raise _UnexpectedError
    except (DataError, _UnexpectedError):
        yield from sample_video(video, times, places)
        return
    yield from (pictures[stamp] for stamp in stamps)


def _stamps_at(video: OpenedVideo, seconds: np.ndarray) -> list[int]:
    """Timestamps of the frames that are shown at some times."""
    points = _points(video)
    order = np.sort(points.stamps)
    if len(order) != len(video.timeline.times):  # Some are never shown.
        raise _UnexpectedError
    found: list[int] = order[video.timeline.shown_at(seconds)].tolist()
    return found


def _points(video: OpenedVideo) -> EntryPoints:
    if video.points is None:
        raise _UnexpectedError
    return video.points


def _decoded(video: OpenedVideo, stamps: Iterable[int]) -> dict[int, np.ndarray]:
    """Pictures (height, width, 3), uint8 RGB, by their timestamps."""
    points = _points(video)
    found: dict[int, np.ndarray] = {}
    position_of = {int(stamp): position for position, stamp in enumerate(points.stamps.tolist())}
    wanted = sorted((points.before(stamp, position_of[stamp]), position_of[stamp], stamp) for stamp in stamps)
    with opened_stream(video.source, video.limits) as (container, stream):
        is_unreferenced = unreferenced_test(stream)
        for entry, group in groupby(wanted, key=lambda one: one[0]):
            asked = {stamp: position for _, position, stamp in group}
            last = max(asked.values())
            for packet in _packets_from(container, stream, points, position_of, entry):
                position = position_of.get(packet.pts, -1)
                if position < entry or packet.is_corrupt:
                    raise _UnexpectedError
                if packet.pts in asked or not is_unreferenced(bytes(packet)):
                    found |= _wanted_of(packet.decode(), asked)
                if position == last:
                    break
            found |= _wanted_of(stream.codec_context.decode(None), asked)
            if not found.keys() >= asked.keys():
                raise _UnexpectedError
    return found


def _packets_from(container: Any, stream: Any, points: EntryPoints, position_of: dict[int, int], entry: int) -> Iterator[Any]:
    """Yield packets in the order of decoding from an entry on."""
    container.seek(int(points.stamps[entry]), stream=stream, backward=True, any_frame=False)
    has_begun = False
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        position = position_of.get(packet.pts, -1)
        if not has_begun and position > entry:
            raise _UnexpectedError
        has_begun = has_begun or position == entry
        if has_begun:
            yield packet


def _wanted_of(frames: Iterable[Any], asked: dict[int, int]) -> dict[int, np.ndarray]:
    found = {}
    for frame in frames:
        if frame.is_corrupt:
            raise _UnexpectedError
        if frame.pts in asked:
            found[frame.pts] = upright(frame)
    return found
