"""Shards in a bucket (s3://BUCKET/...): which there are, and copies of them on this machine's disk.

Samples are read one by one, and a request for each would take far longer than decoding it; so a shard is fetched as one file.
All processes of a machine share the copies, of which the least recently used are removed when there is no more room.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from cosa.data.shards.paths import is_remote, without_options
from cosa.errors import DataError, UserError
from cosa.message_text import shown
from cosa.regular_files import open_regular

CHUNK = 2**22  # bytes
LEFT_OVER_SECONDS = 86400.0
_LOCKS = 64  # files that are locked while a shard is fetched
_TRIES = 5  # A copy may be removed again before it is opened.


def listed(address: str) -> dict[str, tuple[int, str]]:
    """Sizes and versions of the files in the folder of an address, by name; a version is the time of its last change.

    Raises:
        UserError: the bucket cannot be read.
    """
    from pyarrow.fs import FileSelector, FileType

    filesystem, path = _opened(address)
    folder = path.rpartition("/")[0]
    try:
        found = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    except OSError as error:
        raise UserError(f"{shown(without_options(address))}: its bucket cannot be read ({_reason(error)})") from error
    return {one.base_name: (one.size, str(one.mtime_ns)) for one in found if one.type == FileType.File}


def matching(pattern: str) -> list[str]:
    """The addresses of files whose names fit a wildcard in the last part of an address, sorted."""
    place, question, options = pattern.partition("?")
    folder, _, wildcard = place.rpartition("/")
    return [f"{folder}/{name}{question}{options}" for name in sorted(listed(pattern)) if fnmatchcase(name, wildcard)]


def states(addresses: Sequence[str]) -> list[tuple[int, str] | None]:
    """Sizes and versions of files; None for one that does not exist. Each folder is listed once."""
    folders: dict[str, dict[str, tuple[int, str]]] = {}
    found = []
    for address in addresses:
        place, _, options = address.partition("?")
        folder, _, name = place.rpartition("/")
        if (key := f"{folder}?{options}") not in folders:
            folders[key] = listed(address)
        found.append(folders[key].get(name))
    return found


@dataclass(frozen=True)
class ShardCache:
    """Copies of shards in a folder. most_bytes: of all copies together."""

    folder: str
    most_bytes: int

    def open(self, address: str, size: int, version: str) -> BinaryIO:
        """Open a copy of a shard, and make it if there is none.

        Args:
            address: of the shard.
            size: bytes that it has.
            version: of its content, as of `states`.

        Raises:
            DataError: it cannot be fetched, is not of this size and version, or is larger than all copies may be.
        """
        name = xxhash.xxh3_128_hexdigest(f"{address} {size} {version}".encode())
        copy = Path(self.folder, f"{name}.tar")
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                file = open_regular(copy)
                os.utime(copy)  # It was used now.
                return file
            with self._locked(f"lock-{int(name, 16) % _LOCKS}"):
                if not copy.is_file():
                    self._fetch(address, copy, size, version)
        raise DataError(f"copies in {shown(self.folder)} are removed before they can be read; give shards more room")

    def _fetch(self, address: str, copy: Path, size: int, version: str) -> None:
        name = shown(without_options(address))
        if size > self.most_bytes:
            raise DataError(f"{name} has {size} bytes, and copies of shards may have {self.most_bytes} together; allow more")
        if states([address])[0] != (size, version):
            raise DataError(
                f"{name} was changed since it was indexed; run the same command again, which indexes what is there now"
            )
        with self._locked("lock-room"):
            self._make_room(size)
        partial = copy.with_name(f".{copy.name}.{os.getpid()}")
        try:
            filesystem, path = _opened(address)
            with filesystem.open_input_stream(path) as source, partial.open("wb") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
            if partial.stat().st_size != size:
                raise DataError(f"{name} could not be fetched in full; try again")
            partial.replace(copy)
        except OSError as error:
            raise DataError(f"{name} could not be fetched into {shown(self.folder)} ({_reason(error)})") from error
        finally:
            partial.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Remove the copies that were not used for longest, and what killed processes left."""
        found = []
        for path in Path(self.folder).iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                if path.suffix == ".tar" and not path.name.startswith("."):
                    found.append((status.st_mtime, status.st_size, path))
                elif path.name.startswith(".") and status.st_mtime < time.time() - LEFT_OVER_SECONDS:
                    path.unlink()
        used = sum(bytes_ for _, bytes_, _ in found)
        for _, bytes_, path in sorted(found):
            if used + size <= self.most_bytes:
                break
            path.unlink(missing_ok=True)  # Who has it open reads on.
            used -= bytes_

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        with Path(self.folder, name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def open_shard(path: str, size: int, version: str, cache: ShardCache | None) -> BinaryIO:
    """Open a shard on this machine, or a copy of one in a bucket; arguments and errors as of `ShardCache.open`."""
    from cosa.data.media_files import open_media

    if not is_remote(path):
        return open_media(Path(path), "a shard")
    if cache is None:
        raise DataError(f"{shown(without_options(path))} is in a bucket, and there is no folder for copies")
    return cache.open(path, size, version)


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    place, _, options = address.partition("?")
    bucket, _, path = place.removeprefix("s3://").partition("/")
    return _filesystem(os.getpid(), bucket, options), f"{bucket}/{path}"


@lru_cache(maxsize=16)
def _filesystem(process: int, bucket: str, options: str) -> Any:
    """A file system of this process alone: the threads behind it are not there in a forked one."""
    del process
    from pyarrow.fs import FileSystem

    try:
        return FileSystem.from_uri(f"s3://{bucket}" + (f"?{options}" if options else ""))[0]
    except (OSError, ValueError) as error:
        raise UserError(f"s3://{bucket} cannot be opened ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].rpartition("Details: ")[2][:200]
