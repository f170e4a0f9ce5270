"""Adds clips to the store of extracted frames, which all experiments of a storage share."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from cosa.checksums import digest_of
from cosa.data.extraction import ExtractionRecord, extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_digests import ARCHIVE, DIGESTS_FILE, FRAME_NAME, FrameDigests
from cosa.data.media_limits import MediaLimits
from cosa.data.stored_frames import StoredFrames, entry_of
from cosa.errors import DataError
from cosa.message_text import shown
from workflows.results.atomic import flush, flush_tree

LEFT_OVER_SECONDS = 86400.0


@dataclass(frozen=True)
class Sampling:
    """How frames of clips are extracted.

    name: stands for all that decides what is in them, in the names of entries. in_archives: whether the frames of a clip are
    put into one file; readers see the same frames.
    """

    name: str
    settings: ExtractionSettings
    limits: MediaLimits
    in_archives: bool = False


@dataclass(frozen=True)
class FrameStore:
    """A folder of frames. An entry appears by one rename when all of it is on the disk; nothing changes it afterwards."""

    root: Path

    def remove_leftovers(self) -> None:
        """Delete what killed extractions left, here or on another machine: folders in which nothing was written for a day."""
        oldest = time.time() - LEFT_OVER_SECONDS
        for folder in self.root.glob("??/.*.partial-*"):
            with suppress(OSError):  # Another run may remove it, too.
                if folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder)

    def known(self, video_id: str, clip: str, sampling: Sampling, *, read_all: bool = False) -> ExtractionRecord | None:
        """Return the record of a clip whose frames the store has; None if not, or if it is above the limits: the store may have
        it from an extraction with higher ones. Arguments as of `add`."""
        found = _known(entry_of(self.root, clip, sampling.name), clip, sampling.name, read_all)
        if found is None or found.duration > sampling.limits.seconds or found.frames > sampling.limits.frames:
            return None
        return replace(found, video_id=video_id, reader="", seconds=0.0)

    def add(self, video: Path, video_id: str, clip: str, sampling: Sampling, *, read_all: bool = False) -> ExtractionRecord:
        """Extract a clip's frames, unless the store has them; arguments, result and errors as of `extract`."""
        record, publish = self.extract(video, video_id, clip, sampling, read_all=read_all)
        publish()
        return record

    def extract(
        self, video: Path, video_id: str, clip: str, sampling: Sampling, *, read_all: bool = False
    ) -> tuple[ExtractionRecord, Callable[[], None]]:
        """Extract a clip's frames beside the store, unless it has them.

        Args:
            video: the file.
            video_id: for the record.
            clip: digest of the file's content.
            sampling: how frames are extracted.
            read_all: whether to read frames that the store has through, and to extract them again if any is damaged.

        Returns:
            the record, whose `reader` is empty if the store had the frames; and a function that has to be called, in any
            thread: it waits for the disk, and then the store has the frames.

        Raises:
            DataError: the file's content is not that of the digest, so that it was changed meanwhile.
            OSError: the file system refuses.
        """
        known = self.known(video_id, clip, sampling, read_all=read_all)
        if known is not None:
            return known, _nothing
        entry = entry_of(self.root, clip, sampling.name)
        unfinished = entry.with_name(f".{entry.name}.partial-{uuid4().hex}")
        is_complete = False
        try:
            record = extract_frames(
                video, unfinished, sampling.settings,
                video_id=video_id, clip=clip, extraction=sampling.name, limits=sampling.limits,
                in_archive=sampling.in_archives,
            )  # fmt: skip
            if digest_of(video) != clip:
                raise DataError(f"clip {shown(video_id)} changed while it was read; run the same command again")
            is_complete = record.error is None
        finally:
            if not is_complete:
                shutil.rmtree(unfinished, ignore_errors=True)

        def publish() -> None:
            try:
                flush_tree(unfinished)
                self._publish(unfinished, entry, lambda: self.known(video_id, clip, sampling, read_all=read_all) is not None)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)

        return record, publish if is_complete else _nothing

    def _publish(self, unfinished: Path, entry: Path, is_intact: Callable[[], bool]) -> None:
        """Give an entry its name, in place of a damaged one. One that another process has made meanwhile stays."""
        while True:
            try:
                unfinished.rename(entry)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if is_intact():
                return
            old = entry.with_name(f".{entry.name}.partial-{uuid4().hex}")
            with suppress(FileNotFoundError):  # Another process has moved it away.
                entry.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        for folder in (entry.parent, self.root, self.root.parent):  # They may be new, too.
            flush(folder)


def _nothing() -> None:
    """Publish nothing."""


def _known(entry: Path, clip: str, extraction: str, read_all: bool) -> ExtractionRecord | None:
    """Return the record of an entry whose frames are intact: as far as their sizes tell, or all that is in them."""
    try:
        digests = FrameDigests.read(entry, clip, extraction)
        record = ExtractionRecord(**digests.record)
        if read_all:
            digests.check_all(entry)
        sizes = sum(_sizes(entry, digests))
    except (DataError, OSError, TypeError):
        return None
    return record if sizes == record.bytes and len(digests.digests) == record.frames else None


def _sizes(entry: Path, digests: FrameDigests) -> list[int]:
    """Return the sizes of the frames of an entry that are there in full, as far as the sizes of files tell."""
    if not digests.places:
        return [file.path.stat().st_size for file in digests.files(entry)]
    end = (entry / ARCHIVE).stat().st_size
    return [size for start, size in digests.places if start + size <= end]


def name_problem(video_id: str) -> str | None:
    """Say that the link of a clip would be taken for a frame of the clip above it ("yoga/frame_0001.jpg"); None if not."""
    is_taken = any(part in (DIGESTS_FILE, ARCHIVE) or FRAME_NAME.fullmatch(part) for part in video_id.split("/"))
    return f"clip {video_id!r} has the name of a frame; rename it" if is_taken else None


def link_frames(folder: Path, frames: StoredFrames) -> None:
    """Make `folder/<video_id>/frame_0001.jpg` and so on lead to the store, for people and other programs.

    A clip's folder is a link; that of a clip whose name is also a folder of others ("yoga" and "yoga/1") holds links.
    """
    shutil.rmtree(folder, ignore_errors=True)
    above = {video_id[:at] for video_id in frames.clips for at, letter in enumerate(video_id) if letter == "/"}
    for video_id in frames.clips:
        entry = frames.entry(video_id)
        if video_id in above:
            _link_all(folder / video_id, {path.name: path for path in entry.iterdir()})
        else:
            _link_all((folder / video_id).parent, {(folder / video_id).name: entry})


def _link_all(folder: Path, targets: Mapping[str, Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in targets.items():
        (folder / name).symlink_to(os.path.relpath(target, folder))
