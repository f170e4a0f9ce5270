"""Reads whatever shows something as the frames that a model sees: videos, pictures, folders of frames, and arrays.

A video's frames are those that an extract stage would have stored: taken at the same times, and encoded as JPEG once, so that
a model sees the same bytes as in its evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_encoding import decode_frame, encode_frame
from cosa.data.frame_times import frame_times
from cosa.data.frames import load_frames
from cosa.data.media_files import PICTURE_SUFFIXES, PictureFile
from cosa.data.media_limits import DEFAULT_LIMITS, MediaLimits
from cosa.data.picture_files import frames_in, is_picture
from cosa.data.sampling import sample_frame_indices
from cosa.data.transforms import FrameTransform
from cosa.data.videos import OpenedVideo, open_video, sample_video
from cosa.errors import DataError
from cosa.message_text import shown


@dataclass(frozen=True)
class PartOfVideo:
    """A part of a video. start, end: in seconds; None is the video's own."""

    path: str | Path
    start: float | None = None
    end: float | None = None


Media = str | Path | np.ndarray | Tensor | PartOfVideo


@dataclass(frozen=True)
class MediaReader:
    """Reads frames in evaluation: the middle one of each of `frames` segments of equal length.

    frames: of a video; a picture has one. transform: brings them to the model's size. extraction: when frames are taken of a
    video. limits: how large it may be.
    """

    frames: int
    transform: FrameTransform
    extraction: ExtractionSettings
    limits: MediaLimits = DEFAULT_LIMITS

    def read(self, media: Media) -> Tensor:
        """Frames as the model sees them, (frames, 3, resolution, resolution), uint8.

        media: path of a video, a picture or a folder of frames; a part of a video; or an array (frames, height, width, 3) or
        (height, width, 3) of a picture, uint8 RGB.

        Raises:
            DataError: it is missing, damaged, too large, or of another kind.
        """
        if isinstance(media, np.ndarray | Tensor):
            return self.transform(self._picked(_checked(media)))
        if isinstance(media, PartOfVideo):
            if not isinstance(media.path, str | Path):
                raise DataError(f"a part of {shown(media.path)}, a {type(media.path).__name__}; expected the path of a video")
            video = self.open_video(Path(media.path))
            return self.read_parts(video, [_within(media, video)])[0]
        if not isinstance(media, str | Path):
            raise DataError(f"{shown(media)} is a {type(media).__name__}; expected a path, an array or a part of a video")
        path = Path(media)
        if path.is_dir():
            files = frames_in(path)
            chosen = [files[place] for place in sample_frame_indices(len(files), self.frames)]
            return self.transform(load_frames(chosen, self.limits.pixels))
        if is_picture(path):
            return self.transform(load_frames([PictureFile(path)], self.limits.pixels))
        return self.read_parts(self.open_video(path), [None])[0]

    def open_video(self, path: Path) -> OpenedVideo:
        """Read the packets of a video; errors as of `read`, and of what is called a picture it is said that it is none."""
        try:
            return open_video(path, self.limits)
        except DataError as error:
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                raise
            empty = "is empty (0 bytes)" if path.stat().st_size == 0 else "is not a picture, or damaged"
            raise DataError(f"{shown(path)} {empty}; fetch it again, or convert it to JPEG or PNG") from error

    def read_parts(self, video: OpenedVideo, parts: Sequence[tuple[float, float] | None]) -> list[Tensor]:
        """Frames of parts of a video, each as of `read`; the video is decoded once.

        parts: (start, end) in seconds; None is all of it.
        """
        times = frame_times(video, self.extraction)
        places = [[first + k for k in sample_frame_indices(end - first, self.frames)] for first, end in
                  (_span(part, times.seconds) for part in parts)]  # fmt: skip
        wanted = sorted({place for part in places for place in part})
        pictures = sample_video(video, times, wanted)
        decoded = {place: self._as_stored(picture) for place, picture in zip(wanted, pictures, strict=True)}
        return [self.transform(torch.stack([decoded[place] for place in part])) for part in places]

    def _picked(self, frames: Tensor) -> Tensor:
        """(frames, height, width, 3) to the chosen ones (frames, 3, height, width); a picture stays one."""
        if len(frames) > 1:
            frames = frames[sample_frame_indices(len(frames), self.frames)]
        return frames.permute(0, 3, 1, 2)

    def _as_stored(self, picture: np.ndarray) -> Tensor:
        """(height, width, 3) to (3, height, width): what is read again of a frame that extraction stored."""
        content, _ = encode_frame(picture, self.extraction)
        return torch.from_numpy(decode_frame(content)).permute(2, 0, 1)


def _within(part: PartOfVideo, video: OpenedVideo) -> tuple[float, float]:
    """Start and end of a part.

    Raises:
        DataError: it is not a part of the video.
    """
    start = 0.0 if part.start is None else part.start
    end = video.info.duration if part.end is None else part.end
    for time in (start, end):
        if not isinstance(time, int | float | np.number) or isinstance(time, bool):
            raise DataError(f"{shown(part.path)}: {time!r} is no time; expected a number of seconds")
    if not 0 <= start < end < np.inf or start >= video.info.duration:
        raise DataError(
            f"{shown(part.path)}: {part.start} to {part.end} is no part of its {video.info.duration:.2f} s; expected a start "
            "before the end, in seconds"
        )
    return start, end


def _span(part: tuple[float, float] | None, seconds: np.ndarray) -> tuple[int, int]:
    """The frames from the first to before the last of a part of a video: those whose time lies in it, one at least.

    seconds: (frames,) when they are taken.
    """
    count = len(seconds)
    if part is None:
        return 0, count
    first, end = (int(place) for place in np.searchsorted(seconds, part))
    first = min(max(first, 0), count - 1)
    return first, min(max(end, first + 1), count)


def _checked(array: np.ndarray | Tensor) -> Tensor:
    """An array of a picture or of frames as (frames, height, width, 3).

    Raises:
        DataError: another shape or type.
    """
    shape, kind = tuple(array.shape), str(array.dtype).removeprefix("torch.")
    if len(shape) not in (3, 4) or shape[-1] != 3 or kind != "uint8" or 0 in shape:
        raise DataError(
            f"an array of shape {shape} and type {kind}; expected (frames, height, width, 3) or (height, width, 3), uint8, RGB"
        )
    # A mirrored view, such as BGR turned to RGB, has steps that torch does not know, and it warns of what is read-only.
    frames = array if isinstance(array, Tensor) else torch.from_numpy(np.require(array, requirements=["C", "W"]))
    return frames if frames.ndim == 4 else frames[None]
