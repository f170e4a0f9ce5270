"""Walks through a tar shard and groups its members to samples, as webdataset does: neighbours of the same key are one.

Nothing is unpacked. Members are read at their place in the file, so links and sparse files, which have no place, are refused.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from cosa.data.compressed import LONGEST_BEGIN, compression_in

BLOCK = tarfile.BLOCKSIZE
_META = re.compile(r"__[^/]*__(/|$)")  # notes of webdataset about a shard


class ShardDamage(Exception):  # noqa: N818  it is caught where it is counted, and never seen by a person
    """What is wrong with a shard, from a byte on. The samples before it can be used."""

    def __init__(self, problem: str, offset: int):
        super().__init__(problem)
        self.problem, self.offset = problem, offset


@dataclass(frozen=True)
class Member:
    """A file in a shard. suffix: what follows the key, in lower case: `jpg` or `0001.jpg`. offset and size: of its content."""

    suffix: str
    offset: int
    size: int


@dataclass
class TarSample:
    """Neighbouring members with the same key. offset: of the first one's header. problem: why it cannot be used, if so."""

    key: str
    offset: int
    members: list[Member] = field(default_factory=list)
    problem: str | None = None


def samples_in(file: BinaryIO, size: int) -> Iterator[TarSample]:
    """Yield the samples of a tar file. size: of the file, bytes.

    Raises:
        ShardDamage: the file is no tar file, or ends too early; what came before has been yielded.
    """
    current: TarSample | None = None
    try:
        for info in _members(file, size):
            key, suffix = split_name(info.name)
            if info.isdir() or not key:  # webdataset, too, leaves these out.
                continue
            if current is None or key != current.key:
                if current is not None:
                    yield current
                current = TarSample(key, info.offset)
            _add(current, info, suffix)
    except ShardDamage:
        if current is not None:
            yield current
        raise
    if current is not None:
        yield current


def split_name(name: str) -> tuple[str, str]:
    """The key of a member and its suffix: a key ends before the first dot of the last part.

    Both are "" where a member belongs to no sample: hidden files, names without a suffix, webdataset's own notes.
    """
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    is_sample = stem and dot and suffix and not _META.match(name)
    return (folder + slash + stem, suffix.lower()) if is_sample else ("", "")


def _add(sample: TarSample, info: tarfile.TarInfo, suffix: str) -> None:
    """Add a member to a sample, or note why the sample cannot be used."""
    if not info.isreg() or info.issparse():
        kind = "a link" if info.issym() or info.islnk() else "a sparse file" if info.issparse() else "a special file"
        sample.problem = sample.problem or f"its member {suffix} is {kind}"
    elif any(member.suffix == suffix for member in sample.members):
        sample.problem = sample.problem or f"it has two members {suffix}"
    else:
        sample.members.append(Member(suffix, info.offset_data, info.size))


def _problem(error: Exception, start: bytes, offset: int) -> str:
    """What is wrong where tarfile fails. start: first bytes of the file. offset: of what cannot be read."""
    if not start:
        return "it is empty (0 bytes)"
    compression = compression_in(start) if offset == 0 else None  # A tar file, too, may begin so: with the name of a member.
    if compression is not None:
        return f"it is compressed ({compression.name}), so that no sample can be read alone; decompress it"
    return f"it is damaged, or no tar file ({error})"


def _members(file: BinaryIO, size: int) -> Iterator[tarfile.TarInfo]:
    """Yield all members. tarfile takes any header that it cannot read for the end, unless it is the first: what stands there
    is looked at."""
    start, offset = file.read(LONGEST_BEGIN), 0
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # It would hold all of them.
                offset = archive.offset
                if offset > size:
                    raise ShardDamage("it ends in the middle of a member", info.offset)
                if info.size < 0 or offset <= info.offset:  # Older releases of Python would read such an archive for ever.
                    raise ShardDamage("it is damaged: a member has no possible size", info.offset)
                yield info
            offset = archive.offset
    except (tarfile.TarError, EOFError, OverflowError, ValueError, UnicodeError) as error:
        raise ShardDamage(_problem(error, start, offset), offset) from error
    file.seek(offset)
    end = file.read(2 * BLOCK)
    if end.strip(b"\0"):
        raise ShardDamage("it is damaged: a header cannot be read", offset)
    if len(end) < 2 * BLOCK:
        raise ShardDamage("it was cut off, or never finished: its end marker is missing", offset)
