"""Frames of clips that are decoded when they are wanted: the same that extraction would have stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from cosa.data.clip_decoding import frame_contents, packed_record, picture_of
from cosa.data.clip_errors import CrashedError, DamagedClipError, HungError, NoMediaError
from cosa.data.clip_record import ClipRecord
from cosa.data.decoder_process import DecoderProcess
from cosa.data.decoding_settings import DecodingSettings
from cosa.data.frame_cache import FrameCache
from cosa.data.frame_times import FrameTimes, frame_times
from cosa.data.video_sources import Videos, VideoSource
from cosa.errors import DataError
from cosa.message_text import quoted, shown

RECORD_VERSION = "packets 3"  # Raise it when a record of a clip would be another.
SHORT = 64  # frames that are taken of a clip whose frames are all decoded together
OPENED = 1024  # clips of which a process remembers the packets


class VideoFrame(NamedTuple):
    """A frame of a clip. place: from 0, among those that are taken of the clip."""

    video_id: str
    place: int


class VideoFrames(Sequence[VideoFrame]):
    """The frames of a clip in the order of time; millions of clips have such a list, which holds but a number."""

    def __init__(self, video_id: str, count: int) -> None:
        self._video_id, self._count = video_id, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> VideoFrame: ...

    @overload
    def __getitem__(self, place: slice) -> list[VideoFrame]: ...

    def __getitem__(self, place: int | slice) -> VideoFrame | list[VideoFrame]:
        found = range(self._count)[place]
        return VideoFrame(self._video_id, found) if isinstance(found, int) else [VideoFrame(self._video_id, k) for k in found]


class _Clip(NamedTuple):
    """A clip that was opened. state: of its source then."""

    record: ClipRecord
    times: FrameTimes
    state: tuple[object, ...]


class DecodedClips:
    """A dataset's clips as a source of frames.

    videos: where the clips are. settings: which frames are taken, and where decoded ones are cached. max_pixels: of a frame.
    """

    def __init__(self, videos: Videos, settings: DecodingSettings, *, max_pixels: int) -> None:
        self.videos, self.settings, self.limits = videos, settings, settings.limits(max_pixels)
        self.cache = FrameCache(Path(settings.cache) if settings.cache is not None else None, settings.cache_gigabytes)
        self._way = settings.name(max_pixels)
        self._decoder = DecoderProcess(settings.seconds_per_clip)
        self._opened: OrderedDict[str, _Clip] = OrderedDict()

    @property
    def what(self) -> str:
        """What the videos say."""
        return self.videos.what

    @property
    def mend(self) -> str:
        """What the videos say."""
        return self.videos.mend

    @property
    def root(self) -> Path:
        """The videos'."""
        return self.videos.root

    def files(self, video_id: str) -> VideoFrames:
        """Frames of a clip in the order of time; its packets are read, and nothing is decoded.

        Raises:
            DataError: there is no such clip, or it cannot be used; the message names clip and file.
        """
        with _named(video_id):
            return VideoFrames(video_id, len(self._open(video_id).times))

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """What has no file, by the names of files alone."""
        return self.videos.missing(video_ids)

    def load(self, frames: Sequence[VideoFrame]) -> Tensor:
        """Decode frames of one clip, at least one: (frames, 3, height, width), uint8, channels last in memory.

        Raises:
            DataError: the clip is missing, damaged or too large; the message names clip and file.
        """
        [video_id] = {frame.video_id for frame in frames}
        with _named(video_id):
            pictures = self._pictures(self._open(video_id), {frame.place for frame in frames})
        return torch.from_numpy(np.stack([pictures[frame.place] for frame in frames])).permute(0, 3, 1, 2)

    def _pictures(self, clip: _Clip, places: Iterable[int]) -> dict[int, np.ndarray]:
        """Pictures (height, width, 3) by place: from the cache, or else decoded."""
        contents: dict[int, bytes | None] = {place: self.cache.get(self._key(clip, place)) for place in places}
        lacking = [place for place, content in contents.items() if content is None]
        if lacking:
            fresh = self._decoded(clip, self._decoded_with(clip, lacking))
            contents |= {place: fresh[place] for place in lacking}
        pictures = {place: picture_of(content, self.settings) for place, content in contents.items() if content is not None}
        if len({picture.shape for picture in pictures.values()}) > 1:
            raise DamagedClipError(
                f"{shown(clip.record.video.path)}: the picture size changes on the way; convert it to one size"
            )
        return pictures

    def _decoded_with(self, clip: _Clip, places: Sequence[int]) -> list[int]:
        """The frames that are decoded for some: also the others of a short clip, if they can be cached.

        The next epoch draws other frames, and would decode nearly the same pictures for them.
        """
        return list(range(len(clip.times))) if self.cache.limit and len(clip.times) <= SHORT else sorted(places)

    def _decoded(self, clip: _Clip, places: Sequence[int]) -> dict[int, bytes]:
        """Decode frames, and cache them: contents of the cache by place."""
        video = clip.record.video
        decoded = self._asked(video.source, frame_contents, video, clip.times, places, self.settings)
        fresh = dict(zip(places, decoded, strict=True))
        if video.source.state() != clip.state:
            raise DataError(f"{shown(video.path)} changed while it was read; run the same command again")
        for place, content in fresh.items():
            self.cache.put(self._key(clip, place), content)
        return fresh

    def _asked(self, source: VideoSource, function: Callable[..., Iterable[bytes]], *arguments: Any) -> list[bytes]:
        """What the process that decodes yields. source: the clip, which it may not have to wait for."""
        source.fetch()
        with _of_file(source.path):
            return self._decoder.ask(function, *arguments)

    def _key(self, clip: _Clip, place: int) -> str:
        return f"{clip.record.content}-{self._way}-{place}"

    def _open(self, video_id: str) -> _Clip:
        """Read the packets of a clip, unless a process of this machine has read them, or this one has not forgotten them."""
        if video_id not in self._opened:
            source = self.videos.find(video_id)
            state = source.state()
            record = self._record(source, state)
            self._opened[video_id] = _Clip(record, frame_times(record.video, self.settings), state)
        self._opened.move_to_end(video_id)
        if len(self._opened) > OPENED:
            self._opened.popitem(last=False)
        return self._opened[video_id]

    def _record(self, source: VideoSource, state: tuple[object, ...]) -> ClipRecord:
        key = f"{RECORD_VERSION} {state} {self.limits}"
        packed = self.cache.get(key)
        if packed is not None:
            return ClipRecord.unpacked(packed, source, self.limits)
        [packed] = self._asked(source, packed_record, source, self.limits)
        self.cache.put(key, packed)
        return ClipRecord.unpacked(packed, source, self.limits)


@contextmanager
def _of_file(path: Path) -> Iterator[None]:
    """Name the file in messages that know nothing of it."""
    try:
        yield
    except (HungError, CrashedError) as error:
        raise type(error)(f"{shown(path)}: {error}") from error


@contextmanager
def _named(video_id: str) -> Iterator[None]:
    """Name the clip in messages about its file."""
    try:
        yield
    except NoMediaError:  # It names the clip.
        raise
    except DataError as error:
        raise DataError(f"clip {quoted(video_id)}: {error}") from error
