"""Reading videos: which frame is shown when.

PyAV reads every file in order, by one thread. It reports what a decoder conceals: damaged pictures are marked. Seeking is
inexact for some containers, so nothing is skipped.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.stream import Disposition

from cosa.data.clip_errors import ClipError, DamagedClipError, LargeClipError, NoVideoError
from cosa.data.containers.structure import structure_problem
from cosa.data.entry_points import EntryPoints, entry_points
from cosa.data.frame_times import FrameTimes, at_rate
from cosa.data.media_limits import DEFAULT_LIMITS, MediaLimits
from cosa.data.scanning import is_progressive
from cosa.data.video_packets import SAME_TIME, Clock, Timeline, read_packets, timeline_of
from cosa.data.video_sources import VideoFile, VideoSource
from cosa.message_text import shown

# Demuxers that may be chosen. Playlists (HLS, concat) are not among them: they open other files and addresses.
_CONTAINERS = "mov,matroska,avi,flv,gif,mpegts,mpeg,asf,ogg,rm"
# Their streams hold pictures that are never shown, or places for pictures that were left out.
_WITH_HIDDEN_PICTURES = frozenset({"vp8", "vp9", "av1", "libdav1d", "mpeg4"})
_LOST = 2  # pictures that a decoder may leave out in one place: two fields can make one picture
_NO_VIDEO = "is not a video, or incomplete or damaged; fetch it again, or convert it to H.264 in mp4"
_DAMAGED = "is damaged; fetch it again"
_PLAIN_FORMATS = frozenset({"yuv420p", "yuvj420p"})
_PictureSource = Callable[[], np.ndarray]


@dataclass(frozen=True)
class VideoInfo:
    """What the packets of a file say; nothing is decoded for it.

    `duration` is in seconds, from the first shown frame to the end of the last one. `width` and `height` are the
    stored ones, before the rotation flag. `container` is the demuxer's name, `codec` the decoder's, and `pixel_format` that of
    its pictures, as FFmpeg calls them. `is_progressive`: whether the headers prove that no picture is interlaced.
    `streams`: of video, covers included.
    """

    duration: float
    frames_per_second: float
    width: int
    height: int
    codec: str
    container: str
    pixel_format: str = ""
    is_progressive: bool = False
    streams: int = 1


@dataclass(frozen=True)
class OpenedVideo:
    """A video whose packets are known. points: where its decoding may begin; None if only at its beginning."""

    source: VideoSource
    info: VideoInfo
    timeline: Timeline
    limits: MediaLimits
    points: EntryPoints | None = None

    @property
    def path(self) -> Path:
        """How messages name it."""
        return self.source.path

    @property
    def is_plain(self) -> bool:
        """Whether headers and packets prove that nothing is in it about which decoders differ.

        8 bits, 4:2:0, even sides, nothing interlaced, nothing that an edit list hides, one video stream, and every key frame
        begins anew.
        """
        info, points = self.info, self.points
        is_even = info.width % 2 == 0 and info.height % 2 == 0
        is_closed = points is not None and points.are_all_keys and len(points.stamps) == len(self.timeline.times)
        is_usual = info.is_progressive and info.pixel_format in _PLAIN_FORMATS and info.streams == 1
        return is_closed and is_even and is_usual


def probe_video(path: Path, limits: MediaLimits = DEFAULT_LIMITS) -> VideoInfo:
    """Facts of a video from its packets. Opening is no check: a damaged file may fail only when it is decoded.

    Raises:
        DataError: missing, empty, truncated, not a video, of an unknown codec, or above the limits.
        OSError: the file system fails.
    """
    return open_video(path, limits).info


def read_video(path: Path, frames_per_second: float, limits: MediaLimits = DEFAULT_LIMITS) -> Iterator[np.ndarray]:
    """Yield the frames shown at (k + 0.5) / frames_per_second for k = 0, 1, ..., upright, in RGB.

    There are `max(1, round(duration * frames_per_second))` of shape (height, width, 3), uint8. The file is decoded
    once, in order, by one thread; where a frame is wanted twice the same array is yielded twice: do not write to it.

    Raises:
        DataError: as `probe_video`, or a frame is damaged, or frames are missing.
        OSError: the file system fails.
        ValueError: `frames_per_second` is not positive.
    """
    if not frames_per_second > 0:
        raise ValueError(f"expected a positive number of frames per second, found {frames_per_second}")
    clip = open_video(path, limits)
    return sample_video(clip, at_rate(clip, frames_per_second))


def open_video(path: Path, limits: MediaLimits = DEFAULT_LIMITS) -> OpenedVideo:
    """Read the packets of a video that is a file; errors as `probe_video`."""
    return open_source(VideoFile(path), limits)


def open_source(source: VideoSource, limits: MediaLimits = DEFAULT_LIMITS) -> OpenedVideo:
    """Read the packets of a video, wherever its bytes are; errors as `probe_video`."""
    path = source.path
    with _media_errors(path, NoVideoError, _NO_VIDEO), _open(source, limits) as container:
        stream = _video_stream(container, path, limits)
        _check_structure(container, stream, source)
        packets = read_packets(container, stream, path, limits)
        timeline = timeline_of(packets, container, stream, path)
        duration, count = timeline.duration, len(timeline.times)
        if not duration <= limits.seconds:
            raise LargeClipError(
                f"{shown(path)}: its timestamps span {duration:.0f} s, more than the {limits.seconds:.0f} s that max_seconds "
                "allows; if it is not damaged, raise that, or cut it"
            )
        rate = count / duration if duration > 0 else float(stream.average_rate or 0)
        info = _info(container, stream, duration, rate)
    points = entry_points(packets) if len(timeline.starts) == 1 else None
    return OpenedVideo(source, info, timeline, limits, points)


def _info(container: Any, stream: Any, duration: float, rate: float) -> VideoInfo:
    context = stream.codec_context
    return VideoInfo(
        duration,
        rate,
        context.width,
        context.height,
        context.name,
        container.format.name.split(",")[0],
        context.pix_fmt or "",
        is_progressive(context.codec.canonical_name, bytes(context.extradata or b"")),
        len(container.streams.video),
    )


def sample_video(clip: OpenedVideo, times: FrameTimes, places: Sequence[int] | None = None) -> Iterator[np.ndarray]:
    """The frames that are shown at some times, as of `read_video`: picked from all frames in order; only the picked ones are
    converted to RGB.

    Reading continues to the end after the last one, so that damage behind it is found as well.

    Args:
        clip: a video whose packets are known.
        times: when its frames are taken.
        places: which of them are wanted, in ascending order, each from 0 to `len(times)` - 1; None wants all.
    """
    wanted = (times.seconds if places is None else times.seconds[np.asarray(places, dtype=int)]).tolist()
    count = len(wanted)
    hint = "" if clip.info.width else f"; its frames may have more than the {clip.limits.pixels} pixels of max_pixels"
    with _media_errors(clip.path, DamagedClipError, _DAMAGED, hint):
        done, since = 0, 0.0
        source: _PictureSource | None = None
        picture: np.ndarray | None = None
        shape: tuple[int, ...] | None = None
        for time, following in _decoded(clip):
            while source is not None and done < count and wanted[done] < time - SAME_TIME:
                picture = source() if picture is None else picture
                shape = _same_shape(clip, picture, shape)
                yield picture
                done += 1
            source, picture, since = following, None, time
        if source is None:
            raise DamagedClipError(f"{shown(clip.path)}: no frame could be decoded")
        interval = 1 / clip.info.frames_per_second if clip.info.frames_per_second > 0 else 0.0
        if since < clip.timeline.times[-1] - max(0.5 * times.spacing, 2 * interval):
            raise DamagedClipError(
                f"{shown(clip.path)}: decoding ended at {since:.2f} s of {clip.info.duration:.2f} s; the file is damaged"
            )
        picture = source() if picture is None else picture
        _same_shape(clip, picture, shape)
        for _ in range(done, count):
            yield picture


def _same_shape(clip: OpenedVideo, picture: np.ndarray, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is not None and picture.shape != shape:
        raise DamagedClipError(
            f"{shown(clip.path)}: the picture size changes from {shape[:2]} to {picture.shape[:2]} on the way"
        )
    return picture.shape


@contextmanager
def opened_stream(source: VideoSource, limits: MediaLimits = DEFAULT_LIMITS) -> Iterator[tuple[Any, Any]]:
    """A container of PyAV and its video stream, for who wants no exact times.

    Raises:
        DataError: as `probe_video`, also for what is done with them inside.
    """
    path = source.path
    with _media_errors(path, NoVideoError, _NO_VIDEO), _open(source, limits) as container:
        yield container, _video_stream(container, path, limits)


def _open(source: VideoSource, limits: MediaLimits) -> Any:
    with source.open() as file:
        if not file.read(1):
            raise NoVideoError(f"{shown(source.path)} is empty (0 bytes), expected a video; fetch it again")
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file", "max_pixels": str(limits.pixels)}
    return av.open(source.for_decoder(), options=options, metadata_errors="replace")


def _video_stream(container: Any, path: Path, limits: MediaLimits) -> Any:
    """The first real video stream, ready to be decoded: the cover picture of an audio file is none."""
    for stream in container.streams.video:
        context = stream.codec_context
        if context is None:
            raise NoVideoError(f"{shown(path)}: no decoder for its video stream; convert the file to H.264 in mp4")
        if not stream.disposition & Disposition.attached_pic:
            if context.width * context.height > limits.pixels:
                raise LargeClipError(
                    f"{shown(path)}: its frames have {context.width} x {context.height} pixels, more than the {limits.pixels} "
                    "that max_pixels allows"
                )
            stream.thread_type = "NONE"
            context.thread_count = 1
            context.options = {"max_pixels": str(limits.pixels)}  # also where the size changes on the way
            return stream
    raise NoVideoError(f"{shown(path)}: no video stream")


def _check_structure(container: Any, stream: Any, source: VideoSource) -> None:
    with source.open() as file:
        problem = structure_problem(container.format.name.split(",")[0], file, stream.id)
    if problem is not None:
        raise DamagedClipError(f"{shown(source.path)}: {problem}")


def _decoded(clip: OpenedVideo) -> Iterator[tuple[float, _PictureSource]]:
    """Time and picture of every shown frame, in order.

    Raises:
        DataError: the decoder marks a picture as damaged, or leaves out several.
    """
    clock, times, time = Clock(clip.timeline), clip.timeline.times, 0.0
    strict = bool(clip.timeline.starts) and clip.info.codec not in _WITH_HIDDEN_PICTURES
    before: int | None = None
    with _open(clip.source, clip.limits) as container:
        stream = _video_stream(container, clip.path, clip.limits)
        for packet in container.demux(stream):
            if packet.size == 0 and (packet.pts is not None or packet.dts is not None):  # the frame before is shown on
                continue
            for frame in packet.decode():
                shown_from = clock.time(frame.pts)
                if shown_from is None:  # leading pictures of a cut that refer to what was cut off
                    continue
                if frame.is_corrupt:
                    raise DamagedClipError(
                        f"{shown(clip.path)}: the picture at {shown_from:.2f} s is damaged; fetch the file again"
                    )
                time = max(time, shown_from)
                place = int(np.searchsorted(times, time - SAME_TIME)) if strict else 0
                if before is not None and place - before > _LOST:
                    raise DamagedClipError(
                        f"{shown(clip.path)}: {place - before - 1} pictures before {time:.2f} s cannot be decoded; the file is "
                        "damaged"
                    )
                before = place
                yield time, partial(upright, frame)


def upright(frame: Any) -> np.ndarray:
    """A frame of PyAV as (height, width, 3) uint8 RGB, turned by the rotation flag."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24", threads=1), round(frame.rotation / 90)))


@contextmanager
def _media_errors(path: Path, kind: type[ClipError], invalid: str, hint: str = "") -> Iterator[None]:
    """Turn what the readers raise for bad media into a DataError.

    kind: of error. invalid: what is said where they understand nothing. hint: what else may be the matter.
    """
    try:
        yield
    except av.error.InvalidDataError as error:
        raise kind(f"{shown(path)} {invalid}{hint}") from error
    except (av.error.FFmpegError, RuntimeError, ValueError) as error:
        text = str(getattr(error, "strerror", None) or error)  # FFmpeg's full text repeats the path.
        reason = text.splitlines()[0] if text else type(error).__name__
        raise kind(f"{shown(path)} cannot be read as a video ({shown(reason[:200])}){hint}") from error
