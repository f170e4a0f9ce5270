"""Frames of clips that are decoded when they are wanted: the same that extraction would have stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from cosa.data.decoding_settings import DecodingSettings
from cosa.data.extraction import decode_frame, encode_frame, resized
from cosa.data.frame_times import FrameTimes, frame_times
from cosa.data.media_files import NoMediaError
from cosa.data.video_index import VideoIndex
from cosa.data.videos import OpenedVideo, open_video, sample_video
from cosa.errors import DataError
from cosa.message_text import quoted

OPENED = 256  # clips of which a process remembers the packets


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


class DecodedClips:
    """A dataset's clips as a source of frames. what and mend: how a message names what is missing, and what to do then.

    root: folder of the clips. settings: which frames are taken. linked_folders: where links out of the folder may lead.
    max_pixels: of a frame.
    """

    what = "clips"
    mend = "provide them, or remove their annotations"

    def __init__(
        self, root: Path, settings: DecodingSettings, linked_folders: Sequence[Path | str] = (), *, max_pixels: int
    ) -> None:
        self.root, self.settings, self.limits = root, settings, settings.limits(max_pixels)
        self._index = VideoIndex(root, linked_folders)
        self._opened: OrderedDict[str, tuple[OpenedVideo, FrameTimes]] = OrderedDict()

    def files(self, video_id: str) -> VideoFrames:
        """Frames of a clip in the order of time; its packets are read, and nothing is decoded.

        Raises:
            DataError: there is no such clip, or it cannot be used; the message names clip and file.
        """
        with _named(video_id):
            return VideoFrames(video_id, len(self._open(video_id)[1]))

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """The clips that have no file, by the names of files alone."""
        return [video_id for video_id in dict.fromkeys(video_ids) if not self._has(video_id)]

    def load(self, frames: Sequence[VideoFrame]) -> Tensor:
        """Decode frames of one clip, at least one: (frames, 3, height, width), uint8, channels last in memory.

        Raises:
            DataError: the clip is missing, damaged or too large; the message names clip and file.
        """
        [video_id] = {frame.video_id for frame in frames}
        with _named(video_id):
            pictures = self._decoded(video_id, sorted({frame.place for frame in frames}))
        return torch.from_numpy(np.stack([pictures[frame.place] for frame in frames])).permute(0, 3, 1, 2)

    def _decoded(self, video_id: str, places: Sequence[int]) -> dict[int, np.ndarray]:
        """Pictures (height, width, 3) by place."""
        video, times = self._open(video_id)
        return {
            place: self._as_stored(picture) for place, picture in zip(places, sample_video(video, times, places), strict=True)
        }

    def _as_stored(self, picture: np.ndarray) -> np.ndarray:
        """A frame as it would be read from the files that extraction writes."""
        if self.settings.exact:
            return np.array(resized(picture, self.settings.short_side))
        return decode_frame(encode_frame(picture, self.settings)[0])

    def _open(self, video_id: str) -> tuple[OpenedVideo, FrameTimes]:
        if video_id not in self._opened:
            video = open_video(self._index.find(video_id), self.limits)
            self._opened[video_id] = video, frame_times(video, self.settings)
        self._opened.move_to_end(video_id)
        if len(self._opened) > OPENED:
            self._opened.popitem(last=False)
        return self._opened[video_id]

    def _has(self, video_id: str) -> bool:
        try:
            self._index.find(video_id)
        except NoMediaError:
            return False
        return True


@contextmanager
def _named(video_id: str) -> Iterator[None]:
    """Name the clip in messages about its file."""
    try:
        yield
    except NoMediaError:  # It names the clip.
        raise
    except DataError as error:
        raise DataError(f"clip {quoted(video_id)}: {error}") from error
