"""Extraction of a clip's frames to a folder of JPEGs, which appears complete or not at all."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import numpy as np
from PIL import Image

from cosa.data.frame_digests import DIGESTS_FILE, FRAME_NAME, FrameDigests, digest_of_frame, frame_name
from cosa.data.media_limits import DEFAULT_LIMITS, MediaLimits
from cosa.data.videos import open_video, sample_video
from cosa.errors import DataError
from cosa.message_text import shown

READER = "pyav"
_PARTIAL_NAME = re.compile(r"\..+\.partial-[0-9a-f]{32}")


@dataclass(frozen=True)
class ExtractionRecord:
    """What became of one clip: frames on disk, or the reason why there are none.

    `duration` is in seconds, `width` and `height` are those of the written frames, `bytes` is their sum. `reader` is what
    decoded the clip.
    """

    video_id: str
    frames: int = 0
    duration: float = 0.0
    width: int = 0
    height: int = 0
    bytes: int = 0
    reader: str = ""
    error: str | None = None


def extract_frames(
    video: Path,
    folder: Path,
    frames_per_second: float,
    short_side: int | None = None,
    jpeg_quality: int = 95,
    *,
    video_id: str | None = None,
    clip: str = "",
    extraction: str = "",
    limits: MediaLimits = DEFAULT_LIMITS,
) -> ExtractionRecord:
    """Write the frames of a clip as `folder/frame_0001.jpg` and so on, and their digests as `folder/digests.json`.

    The frames appear complete by one rename, or not at all; older ones are replaced. Folders beside them belong to clips below
    this one ("yoga" and "yoga/1") and stay; nothing may write to these meanwhile. Frames are never enlarged.

    Args:
        video: The file.
        folder: Where the frames go.
        frames_per_second: Frames a second of video, as in `read_video`.
        short_side: Pixels of the shorter side of the frames; None keeps their size.
        jpeg_quality: JPEG quality, 1 to 95.
        video_id: The record's identifier; the folder's name if None.
        clip: Digest of the file's content, by which readers know the frames; the identifier if it is empty.
        extraction: What names this way of extraction: readers of frames compare it, too.
        limits: How large the clip may be.

    Returns:
        The record. Unreadable media are no exception: its `error` says what is wrong and nothing is written.

    Raises:
        DataError: `folder` exists and holds other files than frames.
        OSError: the file system refuses (full, permissions).
    """
    video_id = folder.name if video_id is None else video_id
    if _is_reserved(video_id):
        return ExtractionRecord(video_id, error=f"clip {video_id!r} has the name of a frame or of unfinished work; rename it")
    _check_replaceable(folder)
    unfinished = folder.parent / f".{folder.name}.partial-{uuid4().hex}"
    try:
        unfinished.mkdir(parents=True)
        try:
            opened = open_video(video, limits)
            digests, size, written = _write_frames(
                sample_video(opened, frames_per_second), unfinished, short_side=short_side, jpeg_quality=jpeg_quality
            )
            record = ExtractionRecord(video_id, len(digests), opened.info.duration, size[0], size[1], written, READER)
            FrameDigests(clip or video_id, extraction, digests, asdict(record)).write(unfinished)
        except DataError as error:
            return ExtractionRecord(video_id, error=str(error))
        _publish(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return record


def remove_partial_folders(root: Path) -> int:
    """Delete what killed extractions left below `root`; return their count. Only while nothing extracts!"""
    found = [
        Path(parent, name)
        for parent, names, _ in os.walk(root)
        for name in names
        if name.startswith(".") and _PARTIAL_NAME.fullmatch(name)
    ]
    for folder in found:
        shutil.rmtree(folder)
    return len(found)


def _write_frames(
    frames: Iterator[np.ndarray], folder: Path, *, short_side: int | None, jpeg_quality: int
) -> tuple[list[str], tuple[int, int], int]:
    """Returns the digests of the frames, their (width, height) and their bytes."""
    digests: list[str] = []
    written = 0
    size = (0, 0)
    previous: np.ndarray | None = None
    content = b""
    for number, picture in enumerate(frames, start=1):
        if picture is not previous:
            image = Image.fromarray(picture)
            if short_side is not None and min(image.size) > short_side:
                scale = short_side / min(image.size)
                target = (round(image.width * scale), round(image.height * scale))
                image = image.resize(target, Image.Resampling.BICUBIC)
            buffer = BytesIO()
            image.save(buffer, "JPEG", quality=jpeg_quality)  # 1 to 3 times as fast as torchvision's encoder
            previous, content, size = picture, buffer.getvalue(), image.size
        (folder / frame_name(number)).write_bytes(content)
        digests.append(digest_of_frame(content))
        written += len(content)
    return digests, size, written


def _is_reserved(video_id: str) -> bool:
    """Whether the folder of a clip would be taken for a frame of the clip above it, or for what a killed extraction left."""
    return any(
        part == DIGESTS_FILE or FRAME_NAME.fullmatch(part) or _PARTIAL_NAME.fullmatch(part) for part in video_id.split("/")
    )


def _check_replaceable(folder: Path) -> None:
    """Raise DataError if a folder holds files that no extraction wrote."""
    if not folder.exists():
        return
    for path in sorted(folder.iterdir()):
        is_file = path.is_symlink() or not path.is_dir()
        if is_file and path.name != DIGESTS_FILE and not FRAME_NAME.fullmatch(path.name):
            raise DataError(f"{shown(folder)} holds {path.name!r} beside frames; choose another folder or clear it")


def _publish(unfinished: Path, folder: Path) -> None:
    """Let a complete folder appear by a rename; an older one is moved out of the way first, without the clips below it."""
    if not folder.exists():
        unfinished.rename(folder)
        return
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            path.rename(unfinished / path.name)
    old = folder.parent / f".{folder.name}.partial-{uuid4().hex}"
    folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old)
