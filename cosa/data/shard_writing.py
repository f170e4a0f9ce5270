"""Writes shards of frames: clips are appended one after the other, and an index makes a shard complete.

A clip counts as soon as its JSON member is there in full. A process that is killed leaves at most the beginning of a clip
behind, which the next one cuts off. Before a shard becomes complete all of it is read, so that a clip that a loss of power has
damaged does not count.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cosa.data.arrow_arrays import integers, strings
from cosa.data.clip_list import ShardPlace
from cosa.data.frame_checks import digest_of_frame
from cosa.data.frame_digests import ARCHIVE, FrameDigests
from cosa.data.frame_shards import INDEX
from cosa.data.shards.tar import BLOCK, ShardDamage, TarSample, samples_in
from cosa.errors import DataError
from cosa.replaced_file import replacing

SHARD_BYTES = 2**28  # A shard gets no more clips from here on,
SHARD_CLIPS = 4096  # or with so many.
INDEX_COLUMNS = ["clip", "offset", "size"]  # where the JSON member of each clip is
_JSON = "json"
_JSON_NAME = b".json\0"  # how the name of a member ends in a header
_POLL_SECONDS = 0.05


class ShardState(NamedTuple):
    """A shard between two writers. name: of its folder. end: behind the last clip, bytes. clips: how many it holds."""

    name: str
    end: int = 0
    clips: int = 0


class StoredClip(NamedTuple):
    """A complete clip in a shard. clip: digest of its content. offset and size: of its JSON member. end: behind that, bytes."""

    clip: str
    offset: int
    size: int
    end: int


class ShardWriter:
    """Appends clips to a shard, which no other process writes meanwhile.

    places: of the clips that it has found, when the shard had others than expected, or written.
    """

    def __init__(self, folder: Path, file: BinaryIO, end: int, found: list[StoredClip], clips: int) -> None:
        """folder: of the shard. file: its tar file, locked. end: behind the last clip. found: clips that were looked for.
        clips: how many there are."""
        self.folder, self._file = folder, file
        self.places = {one.clip: ShardPlace(folder.name, one.offset, one.size) for one in found}
        self._end = self._at = end
        self._clips = clips

    @classmethod
    def open(cls, shards: Path, state: ShardState, wait: float = 0.0) -> ShardWriter | None:
        """Open a shard, or begin it.

        Args:
            shards: folder of all.
            state: as the writer before left it.
            wait: how long another process may take to end, seconds.

        Returns:
            None if the shard is complete or damaged, or if another process writes it.
        """
        folder = shards / state.name
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked(folder, wait=wait)
        if file is None:
            return None
        if (folder / INDEX).exists():
            file.close()
            return None
        if os.fstat(file.fileno()).st_size == state.end:
            return cls(folder, file, state.end, [], state.clips)
        found = list(clips_in(file))  # A killed writer has left others.
        end = found[-1].end if found else 0
        if _has_clip_behind(file, end):
            file.close()
            return None
        os.ftruncate(file.fileno(), end)
        return cls(folder, file, end, found, len(found))

    @property
    def state(self) -> ShardState:
        """What the next writer has to know."""
        return ShardState(self.folder.name, self._end, self._clips)

    @property
    def is_full(self) -> bool:
        """Whether it should get no more clips."""
        return self._end >= SHARD_BYTES or self._clips >= SHARD_CLIPS

    def append(self, name: str, content: bytes) -> tuple[int, int]:
        """Write a member, and return where its content is: first byte and number of bytes.

        Raises:
            OSError: of the tar file: the disk is full.
        """
        about = tarfile.TarInfo(name)
        about.size = len(content)
        header = about.tobuf(tarfile.USTAR_FORMAT)
        member = b"".join((header, content, b"\0" * (-len(content) % BLOCK)))
        written = 0
        with self._named():
            while written < len(member):
                written += os.pwrite(self._file.fileno(), member[written:], self._at + written)
        place = (self._at + len(header), len(content))
        self._at += len(member)
        return place

    def end_clip(self, clip: str, digests: bytes) -> None:
        """Write the last member of a clip, with which it counts."""
        self.places[clip] = ShardPlace(self.folder.name, *self.append(f"{clip}.{_JSON}", digests))
        self._end, self._clips = self._at, self._clips + 1

    def cut(self) -> None:
        """Remove what was written since the last clip ended."""
        os.ftruncate(self._file.fileno(), self._end)
        self._at = self._end

    def flush(self) -> None:
        """Have the disk write what is there; errors as of `append`. Another thread may append meanwhile."""
        with self._named():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let others write it."""
        self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let an error name the file, which the system does not."""
        try:
            yield
        except OSError as error:
            error.filename = self._file.name
            raise


def clips_in(file: BinaryIO, *, read_all: bool = False) -> Iterator[StoredClip]:
    """Yield the complete clips of a shard, as far as it can be walked through. read_all: only those whose frames have their
    digests."""
    with suppress(ShardDamage):
        for sample in samples_in(file, os.fstat(file.fileno()).st_size):
            found = _clip_of(file, sample, read_all)
            if found is not None:
                yield found


def make_complete(folder: Path) -> list[StoredClip] | None:
    """End a shard, and write its index. The beginning of a clip at its end is cut off; a shard without a clip is removed.

    Returns:
        its clips; None if another process writes it, or it was removed meanwhile.

    Raises:
        OSError: the disk refuses.
    """
    file = _locked(folder, create=False)
    if file is None:
        return None
    with file:
        found = list(clips_in(file, read_all=True))
        end = found[-1].end if found else 0
        if not _has_clip_behind(file, end):  # Where a header is damaged, clips may follow that somebody uses.
            if not found:
                shutil.rmtree(folder)
                return found
            os.ftruncate(file.fileno(), end)
            os.ftruncate(file.fileno(), -(-(end + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE)  # zeros: the end
        os.fsync(file.fileno())
        _write_index(folder / INDEX, found)
    return found


def _has_clip_behind(file: BinaryIO, end: int) -> bool:
    """Return whether a complete clip lies somewhere behind a place, where walking through the shard does not lead."""
    if os.fstat(file.fileno()).st_size <= end:
        return False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_JSON_NAME, end)
        while at >= 0:
            start = at - at % BLOCK
            with suppress(tarfile.HeaderError, DataError):
                header = tarfile.TarInfo.frombuf(content[start : start + BLOCK], "utf-8", "surrogateescape")
                FrameDigests.parsed_of_any(content[start + BLOCK : start + BLOCK + header.size], Path(file.name))
                if start + BLOCK - (-header.size // BLOCK) * BLOCK <= len(content):
                    return True
            at = content.find(_JSON_NAME, at + 1)
    return False


def _clip_of(file: BinaryIO, sample: TarSample, read_all: bool) -> StoredClip | None:
    """Return the clip that a sample is; None if it is incomplete or damaged."""
    if sample.problem is not None or not sample.members:
        return None
    *frames, last = sample.members
    content = os.pread(file.fileno(), last.size, last.offset)
    try:
        digests = FrameDigests.parsed_of_any(content, Path(file.name))
    except DataError:
        return None
    places = [(frame.offset, frame.size) for frame in frames]
    if last.suffix != _JSON or digests.clip != sample.key or list(digests.places) != places:
        return None
    if read_all and any(
        digest_of_frame(os.pread(file.fileno(), size, offset)) != digest
        for digest, (offset, size) in zip(digests.digests, places, strict=True)
    ):
        return None
    return StoredClip(sample.key, last.offset, last.size, last.offset - (-last.size // BLOCK) * BLOCK)


def _locked(folder: Path, *, create: bool = True, wait: float = 0.0) -> BinaryIO | None:
    """Open the tar file of a shard to write it; None if another process does that, or there is none. The lock is released when
    the file is closed, however the process ends. wait: how long that may take, seconds."""
    flags = os.O_CREAT if create else 0
    try:
        file = open(folder / ARCHIVE, "r+b", opener=lambda path, mode: os.open(path, mode | flags, 0o644))  # noqa: SIM115
    except FileNotFoundError:
        return None
    deadline = time.monotonic() + wait
    while not _lock(file):
        if time.monotonic() >= deadline:
            file.close()
            return None
        time.sleep(_POLL_SECONDS)
    if os.fstat(file.fileno()).st_nlink == 0:  # It was removed meanwhile.
        file.close()
        return None
    return file


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # Some network file systems have no locks; a shard is given to one task at a time.
    return True


def _write_index(path: Path, clips: list[StoredClip]) -> None:
    import numpy as np
    import pyarrow as pa

    numbers = [np.array([getattr(one, name) for one in clips], np.int64) for name in ("offset", "size")]
    rows = pa.RecordBatch.from_arrays([strings([one.clip for one in clips]), *map(integers, numbers)], names=INDEX_COLUMNS)
    with replacing(path) as beside, pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_batch(rows)
