"""Computes digests of user files, and caches them by size and modification time, so that planning reads gigabytes only once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from cosa.errors import UserError
from workflows.results.atomic import write_atomically

MEDIA_SAMPLE = 64 * 2**10
ENTRY_LENGTH = 4  # An entry of the cache holds size, modification time, sample and digest.


class FileDigests:
    """SHA-256 digests with a cache file. Losing or damaging the cache only costs time."""

    def __init__(self, cache: Path):
        self.cache = cache
        self._changed = False
        self._known = _read_cache(cache)

    def of_file(self, path: Path, sample: int | None = None) -> str:
        """Digest a file's content, or its size and `sample` bytes at its start, middle and end if `sample` is given.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            return self._of_file(path, sample)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error

    def _of_file(self, path: Path, sample: int | None) -> str:
        stat = path.stat()
        key, state = str(path.absolute()), [stat.st_size, stat.st_mtime_ns, sample]
        known = self._known.get(key)
        if known is not None and known[:3] == state:
            return str(known[3])
        digest = _digest(path, stat.st_size, sample)
        self._known[key] = [*state, digest]
        self._changed = True
        return digest

    def of_folder(self, folder: Path) -> str:
        """Digest all files below a folder of clips: names, sizes and three samples of each."""
        total = hashlib.sha256()
        for root, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                path = Path(root) / name
                total.update(f"{path.relative_to(folder)}\0{self.of_file(path, MEDIA_SAMPLE)}\0".encode())
        return total.hexdigest()

    def save(self) -> None:
        """Write the cache if it can be written, and if the storage folder exists, since planning must not create one."""
        if not self._changed or not self.cache.parent.parent.is_dir():
            return
        try:
            self.cache.parent.mkdir(exist_ok=True)
            write_atomically(self.cache, json.dumps(self._known))
        except OSError:
            return  # Planning must also work on a read-only storage; the digests are merely computed again.


def _read_cache(cache: Path) -> dict[str, list[object]]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: entry for key, entry in known.items() if isinstance(entry, list) and len(entry) == ENTRY_LENGTH}


def _digest(path: Path, size: int, sample: int | None) -> str:
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if sample is None:
            while block := file.read(2**20):
                digest.update(block)
        else:
            for start in (0, max(0, (size - sample) // 2), max(0, size - sample)):
                file.seek(start)
                digest.update(file.read(sample))
    return digest.hexdigest()
