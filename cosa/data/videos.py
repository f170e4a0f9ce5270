"""Reading videos: which reader is exact for a file, and which frame is shown when.

decord returns wrong frames without a word for some containers, and its seeks (`skip_frames` too) fail on others. So it
reads in order, and only what it was measured to read exactly; PyAV reads the rest. Both give the same pixels.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import numpy as np
from av.stream import Disposition

from cosa.data.annotations import check_media_id
from cosa.errors import DataError

# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".webm", ".mkv", ".avi", ".mov", ".flv", ".gif", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".ts", ".m2ts",
    ".asf", ".ogv", ".vob", ".rm",
)
# fmt: on
# Demuxers that may be chosen. Playlists (HLS, concat) are not among them: they open other files and addresses.
_CONTAINERS = "mov,matroska,avi,flv,gif,mpegts,mpeg,asf,ogg,rm"
_DECORD_CONTAINERS = frozenset({"mov", "matroska", "flv"})
_DECORD_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mjpeg", "mpeg4", "prores"})
_DURATION_IS_ESTIMATED = frozenset({"mpegts", "mpeg"})
_SAME_TIME = 1e-6  # seconds; timestamps closer than this are one
_LONGEST = 24 * 3600.0  # seconds; anything longer is a damaged timestamp
_MICROSECONDS = 1e6
_PictureSource = Callable[[], np.ndarray]


@dataclass(frozen=True)
class VideoInfo:
    """What the packets of a file say; nothing is decoded for it.

    `duration` is in seconds, from the first shown frame to the end of the last one. `width` and `height` are the
    stored ones, before the rotation flag. `reader` is "decord" or "pyav".
    """

    duration: float
    frames_per_second: float
    width: int
    height: int
    codec: str
    reader: str


def probe_video(path: Path) -> VideoInfo:
    """Facts of a video from its packets. Opening is no check: a damaged file may fail only when it is decoded.

    Raises:
        DataError: missing, empty, truncated, not a video, or of an unknown codec.
        OSError: the file system refuses (permissions).
    """
    return open_video(path).info


def read_video(path: Path, frames_per_second: float) -> Iterator[np.ndarray]:
    """Yield the frames shown at (k + 0.5) / frames_per_second for k = 0, 1, ..., upright, in RGB.

    There are `max(1, round(duration * frames_per_second))` of shape (height, width, 3), uint8. The file is decoded
    once, in order, by one thread; where a frame is wanted twice the same array is yielded twice: do not write to it.

    Raises:
        DataError: as `probe_video`, or a frame cannot be decoded, or decoding ends before the file's duration.
        OSError: the file system refuses (permissions).
        ValueError: `frames_per_second` is not positive.
    """
    if not frames_per_second > 0:
        raise ValueError(f"expected a positive number of frames per second, found {frames_per_second}")
    return sample_video(open_video(path), frames_per_second)


class VideoIndex:
    """Finds the files of clips below a folder; every folder that identifiers name is listed once.

    An identifier is the file's path below the root, with or without its suffix. Where several suffixes exist, the
    first of `VIDEO_SUFFIXES` counts. Files that links lead out of the root are refused.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[str, dict[str, str]] = {}

    def find(self, video_id: str) -> Path:
        """The file of a clip.

        Raises:
            DataError: unusable identifier, no such file, or a link that leads out of the root.
        """
        check_media_id(video_id)
        parent, _, name = video_id.rpartition("/")
        if parent not in self._listings:
            self._listings[parent] = _list_videos(self.root / parent)
        found = self._listings[parent].get(name)
        if found is None:
            raise DataError(f"{self.root / video_id} is missing; tried the name as it is and with {' '.join(VIDEO_SUFFIXES)}")
        path = self.root / parent / found
        if parent or path.is_symlink():
            self._check_inside(path)
        return path

    def _check_inside(self, path: Path) -> None:
        target = path.resolve()
        if not target.is_relative_to(self.root.resolve()):
            raise DataError(f"{path} is a link to {target}, outside the media folder; put the file itself there")


def find_video(root: Path, video_id: str) -> Path:
    """`VideoIndex.find` for a single clip; for many, make the index once."""
    return VideoIndex(root).find(video_id)


def _list_videos(folder: Path) -> dict[str, str]:
    """File names by name and by stem, of the known suffixes in any case."""
    ranked: list[tuple[int, str, str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122  100,000 files: no Path objects
                if suffix.lower() in VIDEO_SUFFIXES and entry.is_file():
                    ranked.append((VIDEO_SUFFIXES.index(suffix.lower()), entry.name, stem))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{folder} is missing or not a folder; expected a folder of videos") from error
    ranked.sort(reverse=True)
    listing = {stem: name for _, name, stem in ranked}
    listing.update({name: name for _, name, _ in ranked})
    return listing


# --- what is shown when ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenedVideo:
    """A video whose packets are known.

    times: (shown frames,) seconds since the first one, ascending. start: timestamp of the first shown frame; None where
    timestamps are useless and order counts. decord_reader: None if PyAV reads.
    """

    path: Path
    info: VideoInfo
    times: np.ndarray
    start: int | None
    decord_reader: Any


class _Packet(NamedTuple):
    decode_stamp: int | None
    stamp: int | None
    length: int
    key: bool
    hidden: bool


def open_video(path: Path) -> OpenedVideo:
    """Read the packets of a video and choose its reader; errors as `probe_video`."""
    _check_file(path)
    with _media_errors(path), _open(path) as container:
        stream = _video_stream(container, path)
        name = container.format.name.split(",")[0]
        packets = _read_packets(container, stream, path)
        shown = _shown(packets)
        if not shown:
            raise DataError(f"{path}: the video stream has no frames")
        start, times, duration = _timeline(shown, stream, by_order=name == "avi")
        if not duration < _LONGEST:
            raise DataError(f"{path}: its timestamps span {duration / 3600:.0f} hours; the file is damaged")
        exact = name in _DECORD_CONTAINERS and stream.codec_context.name in _DECORD_CODECS
        # An edit list or an open start hides packets, and decord counts those; it needs a duration in the header.
        exact = exact and start is not None and len(shown) == len(packets) and container.duration is not None
        reader = _open_decord(path, len(times)) if exact else None
        rate = len(times) / duration if duration > 0 else float(stream.average_rate or 0)
        context = stream.codec_context
        chosen = "pyav" if reader is None else "decord"
        info = VideoInfo(duration, rate, context.width, context.height, context.name, chosen)
    return OpenedVideo(path, info, times, start, reader)


def _read_packets(container: Any, stream: Any, path: Path) -> list[_Packet]:
    """Read all packets without decoding: real timestamps, and whether the file ends where its header says."""
    found, end_of_all, end = [], 0.0, 0.0
    for packet in container.demux():
        if packet.size == 0:  # the flush packet at the end
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        ends = 0.0 if stamp is None else float((stamp + (packet.duration or 0)) * packet.time_base)
        end_of_all = max(end_of_all, ends)
        if packet.stream.index == stream.index:
            end = max(end, ends)
            if packet.is_corrupt:
                raise DataError(f"{path}: truncated or damaged near {end:.2f} s")
            found.append(_Packet(packet.dts, packet.pts, packet.duration or 0, packet.is_keyframe, packet.is_discard))
    _check_complete(container, stream, path, end_of_all=end_of_all, end=end)
    return found


def _shown(packets: list[_Packet]) -> list[_Packet]:
    """Without those that an edit list hides or that come before the first key frame in either order."""
    first_key = next((position for position, packet in enumerate(packets) if packet.key), 0)
    start = packets[first_key].stamp if packets else None
    return [
        packet
        for packet in packets[first_key:]
        if not packet.hidden and (start is None or packet.stamp is None or packet.stamp >= start)
    ]


def _check_complete(container: Any, stream: Any, path: Path, *, end_of_all: float, end: float) -> None:
    name = container.format.name
    if name == "gif" and path.read_bytes().rstrip(b"\0")[-1:] != b";":
        raise DataError(f"{path}: truncated, the end mark of the GIF is missing")
    if name in _DURATION_IS_ESTIMATED:
        return
    promised = (container.duration or 0) / _MICROSECONDS
    if name == "avi" and stream.average_rate:  # its duration is corrected to the index that is left
        promised = max(promised, float(stream.frames / stream.average_rate))
    own = float(stream.duration * stream.time_base) if stream.duration is not None else 0.0
    for header, found in ((promised, end_of_all), (own, end)):
        if found + max(0.5, 0.02 * header) < header:
            raise DataError(f"{path}: truncated, the data end at {found:.2f} s of {header:.2f} s")


def _timeline(shown: list[_Packet], stream: Any, *, by_order: bool) -> tuple[int | None, np.ndarray, float]:
    """First timestamp, times of the shown frames in seconds since it, and the duration.

    AVI has no presentation times (what PyAV gives there is a guess): its frames follow one another in decoding order.
    """
    seconds, count = float(stream.time_base), len(shown)
    by_order = by_order or any(packet.stamp is None for packet in shown)
    stamped = [(packet.decode_stamp if by_order else packet.stamp, packet.length) for packet in shown]
    stamps = [stamp for stamp, _ in stamped if stamp is not None]
    if len(stamps) < count:  # no usable timestamps at all: count
        interval = 1 / float(stream.average_rate) if stream.average_rate else 0.0
        return None, np.arange(count) * interval, count * interval
    start = min(stamps)
    times = (np.sort(np.asarray(stamps, dtype=np.int64)) - start) * seconds
    end = max(stamp + length for stamp, length in stamped if stamp is not None)
    if end > max(stamps):
        duration = (end - start) * seconds
    else:  # the last packet does not say how long it is shown
        interval = times[-1] / (count - 1) if count > 1 else 1 / float(stream.average_rate or 1)
        duration = float(times[-1] + interval)
    return None if by_order else start, times, duration


def sample_video(clip: OpenedVideo, frames_per_second: float) -> Iterator[np.ndarray]:
    """The frames of `read_video`: picked from all frames in order; only the picked ones are converted to RGB.

    Reading continues to the end after the last one: decord decodes ahead and reports damage some frames early, so that
    stopping there would make the verdict on a damaged end a matter of chance.
    """
    count = max(1, round(clip.info.duration * frames_per_second))
    wanted = ((np.arange(count) + 0.5) / frames_per_second).tolist()
    with _media_errors(clip.path):
        done, since = 0, 0.0
        shown: _PictureSource | None = None
        picture: np.ndarray | None = None
        shape: tuple[int, ...] | None = None
        for time, source in _decord_frames(clip) if clip.decord_reader is not None else _pyav_frames(clip):
            while shown is not None and done < count and wanted[done] < time - _SAME_TIME:
                picture = shown() if picture is None else picture
                shape = _same_shape(clip, picture, shape)
                yield picture
                done += 1
            shown, picture, since = source, None, time
        if shown is None:
            raise DataError(f"{clip.path}: no frame could be decoded")
        interval = 1 / clip.info.frames_per_second if clip.info.frames_per_second > 0 else 0.0
        if since < clip.times[-1] - max(0.5 / frames_per_second, 2 * interval):
            raise DataError(f"{clip.path}: decoding ended at {since:.2f} s of {clip.info.duration:.2f} s; the file is damaged")
        picture = shown() if picture is None else picture
        _same_shape(clip, picture, shape)
        for _ in range(done, count):
            yield picture


def _same_shape(clip: OpenedVideo, picture: np.ndarray, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is not None and picture.shape != shape:
        raise DataError(f"{clip.path}: the picture size changes from {shape[:2]} to {picture.shape[:2]} on the way")
    return picture.shape


# --- the two readers -------------------------------------------------------------------------------------------------


def _open(path: Path) -> Any:
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    return av.open(str(path.absolute()), options=options, metadata_errors="replace")


def _video_stream(container: Any, path: Path) -> Any:
    """The first real video stream: the cover picture of an audio file is none."""
    for stream in container.streams.video:
        if stream.codec_context is None:
            raise DataError(f"{path}: no decoder for its video stream; convert the file to H.264 in mp4")
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise DataError(f"{path}: no video stream")


def _pyav_frames(clip: OpenedVideo) -> Iterator[tuple[float, _PictureSource]]:
    with _open(clip.path) as container:
        stream = _video_stream(container, clip.path)
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        seconds, position, time = float(stream.time_base), 0, 0.0
        for frame in container.decode(stream):
            if clip.start is None or frame.pts is None:
                shown_from = float(clip.times[min(position, len(clip.times) - 1)])
            elif frame.pts < clip.start:  # leading pictures of a cut that refer to what was cut off
                continue
            else:
                shown_from = (frame.pts - clip.start) * seconds
            time = max(time, shown_from)
            yield time, partial(_upright, frame)
            position += 1


def _upright(frame: Any) -> np.ndarray:
    """(height, width, 3) uint8 RGB, turned by the rotation flag, which decord does by itself."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def _open_decord(path: Path, frames: int) -> Any:
    """decord's reader if it sees the same frames as the packets do, else None."""
    import decord  # decord2, its twin for other processors, loads every CUDA library: only where it is used

    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(path.absolute()), num_threads=1)
    except (decord.DECORDError, RuntimeError):
        return None
    return reader if len(reader) == frames else None


def _decord_frames(clip: OpenedVideo) -> Iterator[tuple[float, _PictureSource]]:
    import decord

    for time in clip.times.tolist():
        try:
            frame = clip.decord_reader.next()
        except (decord.DECORDError, StopIteration) as error:
            raise DataError(f"{clip.path}: decoding fails before the end; the file is damaged") from error
        yield time, frame.asnumpy


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path} is missing or not a file; expected a video")
    with path.open("rb") as file:  # a refusal of the file system is raised as it is
        if not file.read(1):
            raise DataError(f"{path} is empty (0 bytes), expected a video; fetch it again")


@contextmanager
def _media_errors(path: Path) -> Iterator[None]:
    """Turn what the readers raise for bad media into a DataError."""
    try:
        yield
    except (av.error.FFmpegError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read as a video ({reason[:200]})") from error
