"""Copies of the shards of buckets on this machine's disk.

Samples are read one by one, and a request for each would take far longer than decoding it; so a shard is fetched as one file.
All processes of a machine share the copies, of which the least recently used are removed when there is no more room.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import xxhash

from cosa.data.media_files import open_media
from cosa.data.shards.bucket import fetch, reason, states
from cosa.data.shards.paths import is_remote, without_options
from cosa.errors import DataError
from cosa.message_text import shown
from cosa.regular_files import open_regular

LEFT_OVER_SECONDS = 86400.0  # after which an unfinished copy was left by a killed process
_LOCKS = 64  # files that are locked while a shard is fetched
_TRIES = 5  # A copy may be removed again before it is opened.


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
                os.utime(file.fileno())  # It was used now; another process may have removed its name since.
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
        unfinished = copy.with_name(f".{copy.name}.{os.getpid()}")
        try:
            fetch(address, unfinished)
            if unfinished.stat().st_size != size:
                raise DataError(f"{name} could not be fetched in full; try again")
            unfinished.replace(copy)
        except OSError as error:
            raise DataError(f"{name} could not be fetched into {shown(self.folder)} ({reason(error)})") from error
        finally:
            unfinished.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Remove the copies that were least recently used, and what killed processes left."""
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
            path.unlink(missing_ok=True)  # A process that has it open can read it still.
            used -= bytes_

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        with Path(self.folder, name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def open_shard(path: str, size: int, version: str, cache: ShardCache | None) -> BinaryIO:
    """Open a shard on this machine, or a copy of one in a bucket; arguments and errors as of `ShardCache.open`."""
    if not is_remote(path):
        return open_media(Path(path), "a shard")
    if cache is None:
        raise DataError(f"{shown(without_options(path))} is in a bucket, and there is no folder for copies")
    return cache.open(path, size, version)
