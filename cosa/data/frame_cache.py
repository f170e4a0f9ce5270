"""A folder of contents by key, of bounded size, that the processes of a machine share. The least recently used make room."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import xxhash

from cosa.errors import UserError
from cosa.message_text import shown

_LOCK = "used"  # It holds how many bytes there are, and is locked while that changes.
_UNFINISHED = ".unfinished-"
_LEFT_OVER_SECONDS = 3600.0
_REDUCED = 0.9  # share of the limit that is left when room is made
_CHECK = 8  # bytes of the digest that precedes a content


class FrameCache:
    """Stores contents until the limit is reached.

    A content appears by one rename. It has a digest, so that what a crash of the machine has damaged counts as absent.

    folder: None is one of this user's in the machine's folder for temporary files. gigabytes: of 10^9 bytes; 0 stores nothing.
    """

    def __init__(self, folder: Path | None, gigabytes: float) -> None:
        self.folder = folder or Path(tempfile.gettempdir()) / f"cosa-frames-{os.getuid()}"
        self.limit = int(gigabytes * 1e9)
        self._is_made = False

    def get(self, key: str) -> bytes | None:
        """The content of a key, which counts as used now; None if there is none.

        Raises:
            UserError: the folder cannot be used.
        """
        if not self.limit:
            return None
        with self._usable():
            path = self._path(key)
            try:
                stored = path.read_bytes()
                os.utime(path)
            except FileNotFoundError:  # Another process may have made room.
                return None
        check, content = stored[:_CHECK], stored[_CHECK:]
        return content if check == _digest(key, content) else None

    def put(self, key: str, content: bytes) -> None:
        """Store a content, unless it is larger than the limit.

        Raises:
            UserError: the folder cannot be used.
        """
        size = _CHECK + len(content)
        if size > self.limit:
            return
        with self._usable():
            path = self._path(key)
            self._take(size)
            path.parent.mkdir(exist_ok=True)
            unfinished = path.with_name(f"{_UNFINISHED}{uuid4().hex}")
            try:
                unfinished.write_bytes(_digest(key, content) + content)
                unfinished.rename(path)
            finally:
                unfinished.unlink(missing_ok=True)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Make the folder, and explain what the file system refuses. One of somebody else is refused: /tmp is open to all."""
        try:
            if not self._is_made:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if self.folder.is_symlink() or self.folder.stat().st_uid != os.getuid():
                    raise UserError(f"{shown(self.folder)} is not this user's; set decode.cache of the dataset")
                self._is_made = True
            yield
        except OSError as error:
            raise UserError(
                f"{shown(self.folder)}: decoded frames cannot be stored there ({error.strerror}); set decode.cache of the "
                "dataset to another folder, or decode.cache_gigabytes to less, or to 0 to store none"
            ) from error

    def _path(self, key: str) -> Path:
        name = xxhash.xxh3_128_hexdigest(key.encode())
        return self.folder / name[:2] / name

    def _take(self, size: int) -> None:
        """Count a content that comes, and make room for it if there is not enough."""
        with self._locked() as lock:
            text = os.pread(lock, 32, 0)
            used = int(text) if text.isdigit() else self._make_room(self.limit)
            if used + size > self.limit:
                used = self._make_room(int(self.limit * _REDUCED))
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(used + size).encode(), 0)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock
        finally:
            os.close(lock)

    def _make_room(self, wanted: int) -> int:
        """Remove the least recently used until at most so many bytes are left, and return how many are."""
        found: list[tuple[float, int, str]] = []
        for folder in self.folder.glob("??"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        about = entry.stat(follow_symlinks=False)
                        found.append((about.st_mtime, about.st_size, entry.path))
        left, left_over = sum(size for _, size, _ in found), time.time() - _LEFT_OVER_SECONDS
        for used, size, path in sorted(found):
            is_unfinished = _UNFINISHED in path  # Another process is writing it, or was killed.
            if used < left_over if is_unfinished else left > wanted:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108  no Path objects for a hundred thousand files
                left -= size
        return left


def _digest(key: str, content: bytes) -> bytes:
    digest = xxhash.xxh3_64(key.encode())
    digest.update(content)
    return digest.digest()
