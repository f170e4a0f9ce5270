"""Extraction of a clip's frames to JPEGs."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cosa.data.clip_errors import kind_of_error
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_encoding import encode_frame
from cosa.data.frame_times import frame_times
from cosa.data.frame_writers import FOLDER_WRITERS, FrameWriter
from cosa.data.media_limits import DEFAULT_LIMITS, MediaLimits
from cosa.data.videos import open_video, sample_video
from cosa.errors import DataError
from cosa.message_text import shown

READER = "pyav"


@dataclass(frozen=True)
class ExtractionRecord:
    """What became of one clip: frames on disk, or the reason why there are none.

    `duration` is in seconds, `width` and `height` are those of the written frames, `bytes` is their sum. `reader` is what
    decoded the clip, and `seconds` how long that took. `kind` is that of the error, as of `clip_errors`.
    """

    video_id: str
    frames: int = 0
    duration: float = 0.0
    width: int = 0
    height: int = 0
    bytes: int = 0
    reader: str = ""
    error: str | None = None
    seconds: float = 0.0
    kind: str = ""


def extract_frames(
    video: Path,
    folder: Path,
    settings: ExtractionSettings,
    *,
    video_id: str | None = None,
    clip: str = "",
    extraction: str = "",
    limits: MediaLimits = DEFAULT_LIMITS,
    in_archive: bool = False,
) -> ExtractionRecord:
    """Write the frames of a clip as `folder/frame_0001.jpg` and so on, and their digests as `folder/digests.json`.

    Frames are never enlarged.

    Args:
        video: The file.
        folder: Where the frames go; it must not exist yet.
        settings: Which frames are taken, and how they are stored.
        video_id: The record's identifier; the folder's name if None.
        clip: Digest of the file's content, by which readers know the frames; the identifier if it is empty.
        extraction: What names this way of extraction: readers of frames compare it, too.
        limits: How large the clip may be.
        in_archive: Whether the frames are put into `folder/frames.tar`, under the same names, instead of into files.

    Returns:
        The record. Unreadable media are no exception: its `error` says what is wrong and nothing is left.

    Raises:
        DataError: `folder` exists.
        OSError: the file system refuses (full, permissions). Nothing is left then, either.
    """
    video_id = folder.name if video_id is None else video_id
    if folder.exists():
        raise DataError(f"{shown(folder)} exists; choose another folder for the frames of {video_id!r}, or remove it")
    folder.mkdir(parents=True)
    writer, is_complete = FOLDER_WRITERS["tar" if in_archive else "files"](folder), False
    try:
        record = write_frames(video, writer, settings, video_id=video_id, limits=limits)
        if record.error is None:
            writer.complete(clip or video_id, extraction, asdict(record))
            is_complete = True
    finally:
        if not is_complete:
            writer.discard()
    return record


def write_frames(
    video: Path, writer: FrameWriter, settings: ExtractionSettings, *, video_id: str, limits: MediaLimits = DEFAULT_LIMITS
) -> ExtractionRecord:
    """Write the frames of a clip, which the caller completes or, if the record has an `error`, discards.

    Arguments, result and errors as of `extract_frames`.
    """
    begun = time.monotonic()
    try:
        opened = open_video(video, limits)
        frames = sample_video(opened, frame_times(opened, settings))
        width, height = _write_frames(frames, writer, settings)
    except DataError as error:
        return ExtractionRecord(
            video_id, reader=READER, error=str(error), seconds=round(time.monotonic() - begun, 3), kind=kind_of_error(error)
        )
    seconds, count = round(time.monotonic() - begun, 3), len(writer.digests)
    return ExtractionRecord(video_id, count, opened.info.duration, width, height, writer.bytes, READER, seconds=seconds)


def _write_frames(frames: Iterator[np.ndarray], writer: FrameWriter, settings: ExtractionSettings) -> tuple[int, int]:
    """Returns the (width, height) of the frames."""
    size = (0, 0)
    previous: np.ndarray | None = None
    content = b""
    for picture in frames:
        if picture is not previous:
            content, size = encode_frame(picture, settings)
            previous = picture
        writer.write(content)
    return size
