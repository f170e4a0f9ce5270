"""Adds clips to the store of extracted frames, which all experiments of a storage share."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

from cosa.checksums import digest_of
from cosa.data.clip_list import ShardPlace
from cosa.data.extraction import ExtractionRecord, write_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_digests import ARCHIVE, DIGESTS_FILE, FRAME_NAME, FrameDigests
from cosa.data.frame_shards import INDEX, SHARDS, FrameShards, shard_folder
from cosa.data.frame_writers import FOLDER_WRITERS, FrameWriter, ShardFrames
from cosa.data.media_limits import MediaLimits
from cosa.data.shard_lookup import ShardLookup
from cosa.data.shard_writing import ShardState, ShardWriter, make_complete
from cosa.data.stored_frames import StoredFrames, entry_of
from cosa.errors import DataError
from cosa.message_text import shown
from workflows.results.atomic import flush, flush_tree

LEFT_OVER_SECONDS = 86400.0
SEALERS = 8  # shards that are made complete at once
ENDING_SECONDS = 10.0  # that a killed process may take to end, before its shard is free


@dataclass(frozen=True)
class Sampling:
    """How frames of clips are extracted.

    name: stands for all that decides what is in them, in the names of entries. output: "files", "tar" or "shards", as of
    `ExtractSection`; readers see the same frames.
    """

    name: str
    settings: ExtractionSettings
    limits: MediaLimits
    output: str = "files"


@dataclass(frozen=True)
class FrameStore:
    """A folder of frames. An entry appears by one rename when all of it is on the disk; nothing changes it afterwards. Shards
    are appended to: a clip in one never changes either."""

    root: Path

    def remove_leftovers(self) -> None:
        """Delete what killed extractions left, here or on another machine: folders in which nothing was written for a day."""
        oldest = time.time() - LEFT_OVER_SECONDS
        for folder in self.root.glob("??/.*.partial-*"):
            with suppress(OSError):  # Another run may remove it, too.
                if folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder)

    def shards(self, extraction: str) -> Path:
        """The folder of the shards of a way of extraction."""
        return self.root / SHARDS / extraction

    def make_shards_complete(self, extraction: str, owner: str) -> None:
        """End the shards to which clips were appended, unless a process still does that.

        Those of other owners stay open for a day: on another machine somebody may work on them, and their clips are found
        anyway.
        """
        oldest = time.time() - LEFT_OVER_SECONDS
        found = []
        for folder in self.shards(extraction).glob("[!.]*"):
            with suppress(OSError):  # Another run may have made it complete, and removed it.
                is_old = (folder / ARCHIVE).stat().st_mtime < oldest
                if not (folder / INDEX).exists() and (is_old or owner_of(folder.name) == owner):
                    found.append(folder)
        with ThreadPoolExecutor(SEALERS) as pool:
            list(pool.map(_make_complete, found))

    def open_shard(self, sampling: Sampling, state: ShardState | None) -> ShardWriter | None:
        """Open a shard to append clips, or a new one if it is not free; None if clips go into folders of their own.

        state: as the writer before left it, or with a new name; None for no shard.
        """
        if state is None:
            return None
        while (shard := ShardWriter.open(self.shards(sampling.name), state, ENDING_SECONDS)) is None:
            state = ShardState(new_shard(owner_of(state.name)))
        if not state.end:
            for folder in (shard.folder, *shard.folder.parents[:4]):  # They may be new, up to the store's own.
                flush(folder)
        return shard

    def next_shard(self, sampling: Sampling, shard: ShardWriter) -> ShardWriter:
        """Make a full shard complete, and begin another."""
        shard.close()
        _make_complete(shard.folder)
        following = self.open_shard(sampling, ShardState(new_shard(owner_of(shard.folder.name))))
        assert following is not None
        return following

    def places(self, clips: Iterable[str], extraction: str, shards: ShardLookup) -> dict[str, ShardPlace]:
        """Return where clips are whose frames have no entry of their own, by the digests of their contents."""
        found = {clip: place for clip in clips if (place := shards.place(clip)) is not None}
        return {clip: place for clip, place in found.items() if not entry_of(self.root, clip, extraction).exists()}

    def known(
        self, video_id: str, clip: str, sampling: Sampling, *, read_all: bool = False, place: ShardPlace | None = None
    ) -> ExtractionRecord | None:
        """Return the record of a clip whose frames the store has; None if not, or if it is above the limits: the store may have
        it from an extraction with higher ones. Arguments as of `extract`."""
        found = _known(entry_of(self.root, clip, sampling.name), clip, sampling.name, read_all)
        if found is None and place is not None:
            found = _known_in_shard(self.root, place, clip, sampling.name, read_all)
        if found is None or found.duration > sampling.limits.seconds or found.frames > sampling.limits.frames:
            return None
        return replace(found, video_id=video_id, reader="", seconds=0.0)

    def add(self, video: Path, video_id: str, clip: str, sampling: Sampling, *, read_all: bool = False) -> ExtractionRecord:
        """Extract a clip's frames, unless the store has them; arguments, result and errors as of `extract`."""
        record, publish = self.extract(video, video_id, clip, sampling, read_all=read_all)
        publish()
        return record

    def extract(
        self, video: Path, video_id: str, clip: str, sampling: Sampling, *,
        read_all: bool = False, place: ShardPlace | None = None, shard: ShardWriter | None = None,
    ) -> tuple[ExtractionRecord, Callable[[], None]]:  # fmt: skip
        """Extract a clip's frames beside the store, unless it has them.

        Args:
            video: the file.
            video_id: for the record.
            clip: digest of the file's content.
            sampling: how frames are extracted.
            read_all: whether to read frames that the store has through, and extract them again if any is damaged.
            place: where a shard has the clip, if one does.
            shard: to which the clip is appended; an entry of its own takes its place if it is None.

        Returns:
            the record, whose `reader` is empty if the store had the frames; and a function to call, in any thread: it waits
            for the disk, and then the store has the frames.

        Raises:
            DataError: the file's content is not that of the digest, so that it was changed meanwhile.
            OSError: the file system refuses.
        """
        if shard is not None:
            place = shard.places.get(clip, place)
        known = self.known(video_id, clip, sampling, read_all=read_all, place=place)
        if known is not None:
            return known, _nothing
        writer, publish = self._output(video_id, clip, sampling, read_all, shard)
        is_complete = False
        try:
            record = write_frames(video, writer, sampling.settings, video_id=video_id, limits=sampling.limits)
            if digest_of(video) != clip:
                raise DataError(f"clip {shown(video_id)} changed while it was read; run the same command again")
            if record.error is None:
                writer.complete(clip, sampling.name, asdict(record))
                is_complete = True
        finally:
            if not is_complete:
                writer.discard()
        return record, publish if is_complete else _nothing

    def _output(
        self, video_id: str, clip: str, sampling: Sampling, read_all: bool, shard: ShardWriter | None
    ) -> tuple[FrameWriter, Callable[[], None]]:
        """Return what writes a clip's frames, and what publishes them. An entry that is there, but damaged, is replaced."""
        entry = entry_of(self.root, clip, sampling.name)
        if shard is not None and not entry.exists():
            return ShardFrames(shard, clip), shard.flush
        unfinished = entry.with_name(f".{entry.name}.partial-{uuid4().hex}")
        unfinished.mkdir(parents=True)

        def publish() -> None:
            try:
                flush_tree(unfinished)
                self._publish(unfinished, entry, lambda: self.known(video_id, clip, sampling, read_all=read_all) is not None)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)

        return FOLDER_WRITERS[sampling.output](unfinished), publish

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


def new_shard(owner: str) -> str:
    """Return a name for a shard. owner: the fingerprint of the stage that makes it. Later ones come later by name."""
    return f"{int(time.time()):010d}-{owner}-{uuid4().hex[:8]}"


def owner_of(shard: str) -> str:
    """Return the fingerprint of the stage that makes a shard."""
    return shard.partition("-")[2].rpartition("-")[0]


def _make_complete(shard: Path) -> None:
    """End a shard durably, unless only another user may write it: its clips are found anyway."""
    with suppress(PermissionError):
        if make_complete(shard):
            flush(shard)


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
    return _sizes_within(digests, entry)


def _sizes_within(digests: FrameDigests, folder: Path) -> list[int]:
    """Return the sizes of the frames that the tar file in a folder is long enough for."""
    end = (folder / ARCHIVE).stat().st_size
    return [size for start, size in digests.places if start + size <= end]


def _known_in_shard(root: Path, place: ShardPlace, clip: str, extraction: str, read_all: bool) -> ExtractionRecord | None:
    """Return the record of a clip in a shard, as `_known` does."""
    shards = FrameShards(root, extraction, [place.shard])
    try:
        digests = shards.digests(place, clip)
        record = ExtractionRecord(**digests.record)
        for frame in shards.frames(place, clip) if read_all else ():
            frame.content()
        sizes = sum(_sizes_within(digests, shard_folder(root, extraction, place.shard)))
    except (DataError, OSError, TypeError):
        return None
    return record if sizes == record.bytes and len(digests.digests) == record.frames else None


def name_problem(video_id: str) -> str | None:
    """Say that the link of a clip would be taken for a frame of the clip above it ("yoga/frame_0001.jpg"); None if not."""
    is_taken = any(part in (DIGESTS_FILE, ARCHIVE) or FRAME_NAME.fullmatch(part) for part in video_id.split("/"))
    return f"clip {video_id!r} has the name of a frame; rename it" if is_taken else None


def link_frames(folder: Path, frames: StoredFrames) -> None:
    """Make `folder/<video_id>/frame_0001.jpg` and so on lead to the store, for people and other programs.

    A clip's folder is a link; that of a clip whose name is also a folder of others ("yoga" and "yoga/1") holds links. Of clips
    in shards there are links to these: `folder/<shard>.tar`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    _link_all(folder, {f"{shard.name}.tar": shard / ARCHIVE for shard in frames.shard_folders()})
    above = {video_id[:at] for video_id, _ in frames.entries() for at, letter in enumerate(video_id) if letter == "/"}
    for video_id, entry in frames.entries():
        if video_id in above:
            _link_all(folder / video_id, {path.name: path for path in entry.iterdir()})
        else:
            _link_all((folder / video_id).parent, {(folder / video_id).name: entry})


def _link_all(folder: Path, targets: Mapping[str, Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in targets.items():
        (folder / name).symlink_to(os.path.relpath(target, folder))
