"""Computes digests of the user's own files. What was read once is read again only if its size, times or inode differ."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xxhash

from cosa.checksums import digest_of
from cosa.errors import UserError
from cosa.message_text import shown
from cosa.regular_files import kind_of, read_regular
from workflows.results.atomic import write_atomically

READERS = 8  # Many small files are read at once; a disk far away answers several in the time of one.
BATCH = 1000  # files whose reading is asked for at once
ENTRY_LENGTH = 5  # An entry of a cache holds size, times of modification and change, inode and digest.
Entry = list[Any]
OnRead = Callable[[Path, int, int], None]


class FileDigests:
    """Digests with a folder of caches. Losing or damaging one only costs time.

    Files have their SHA-256. Folders have one digest of the names and contents of all files below them, and of where links to
    folders lead; each file's is XXH3, because media are large.
    """

    def __init__(self, cache: Path, on_read: OnRead | None = None):
        """cache: a folder. on_read: called with a folder, the bytes of it that have been read, and all that are to be read."""
        self.cache, self.on_read = cache, on_read
        self._files = _Cache(cache / "files.json")

    def of_file(self, path: Path) -> str:
        """Digest a file's content.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            state = _state(_status(path))
            digest = self._files.get(str(path.absolute()), state)
            if digest is None:
                digest = _sha256(path, state[0])
                self._files.put(str(path.absolute()), state, digest)
        except OSError as error:
            raise _unreadable(path, error) from error
        return digest

    def of_folder(self, folder: Path) -> str:
        """Digest the names and contents of all files below a folder.

        Raises:
            UserError: one cannot be read.
        """
        try:
            return self._of_folder(folder)
        except OSError as error:
            raise _unreadable(Path(error.filename or folder), error) from error

    def of_pictures(self, folder: Path) -> str:
        """Digest a folder of images or frames, in the same way."""
        return self.of_folder(folder)

    def has_passed(self, check: str, of: Sequence[str]) -> bool:
        """Return whether a check of some contents was passed before. of: their digests, and that of the code that checks."""
        return self._files.get(f"check {check}", _state_of_check(of)) is not None

    def note_passed(self, check: str, of: Sequence[str]) -> None:
        """Note that a check was passed, instead of what was noted of it about other contents."""
        self._files.put(f"check {check}", _state_of_check(of), "passed")

    def save(self) -> None:
        """Write what was learned about single files."""
        self._files.save()

    def _of_folder(self, folder: Path) -> str:
        start = len(str(folder / "_")) - 1
        states: dict[str, Entry] = {}
        links: dict[str, str] = {}
        for entry in sorted(_below(str(folder)), key=lambda entry: entry.path):
            if entry.is_dir():
                links[entry.path[start:]] = str(Path(entry.path).readlink())
            else:
                states[entry.path[start:]] = _state(_status(entry))
        cache = _Cache(self.cache / f"folder-{xxhash.xxh3_64_hexdigest(os.fsencode(folder.absolute()))}.json")
        # The digest of all states is enough to know that nothing has changed, without the list of a million files.
        summary = [0, 0, 0, xxhash.xxh3_128_hexdigest(json.dumps({**states, **links}).encode())]
        known = self._files.get(str(folder.absolute()), summary)
        if known is not None:
            return known
        found = {name: cache.get(name, state) for name, state in states.items()}
        unread = [name for name, digest in found.items() if digest is None]
        done, total = 0, sum(states[name][0] for name in unread)
        try:
            for name, digest in _digests_of(folder, unread):
                found[name] = digest
                cache.put(name, states[name], digest)
                done += states[name][0]
                if self.on_read is not None:
                    self.on_read(folder, done, total)
        finally:  # Whoever interrupts the reading of a terabyte does not lose what was read.
            cache.forget_all_but(states)
            cache.save()
        digest = xxhash.xxh3_128_hexdigest(json.dumps({**found, **links}).encode())
        self._files.put(str(folder.absolute()), summary, digest)
        return digest


class _Cache:
    """Digests by name in a JSON file, each valid for one state of what it belongs to."""

    def __init__(self, path: Path):
        self.path = path
        self._changed = False
        self._read: dict[str, Entry] | None = None

    @property
    def _known(self) -> dict[str, Entry]:
        if self._read is None:
            self._read = _read_cache(self.path)
        return self._read

    def get(self, name: str, state: Entry) -> str | None:
        known = self._known.get(name)
        return str(known[-1]) if known is not None and known[:-1] == state else None

    def put(self, name: str, state: Entry, digest: str) -> None:
        self._known[name] = [*state, digest]
        self._changed = True

    def forget_all_but(self, names: dict[str, Entry]) -> None:
        self._read = {name: entry for name, entry in self._known.items() if name in names}

    def save(self) -> None:
        """Write the file if it can be written, and if the storage folder exists, since planning must not create one."""
        if not self._changed or not self.path.parent.parent.is_dir():
            return
        try:
            self.path.parent.mkdir(exist_ok=True)
            write_atomically(self.path, json.dumps(self._known))
        except OSError:
            return  # Planning must also work on a read-only storage; the digests are merely computed again.
        self._changed = False


def _read_cache(path: Path) -> dict[str, Entry]:
    try:
        known = json.loads(read_regular(path))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: entry for name, entry in known.items() if isinstance(entry, list) and len(entry) == ENTRY_LENGTH}


def _state_of_check(of: Sequence[str]) -> Entry:
    return [0, 0, 0, " ".join(of)]


def _state(status: os.stat_result) -> Entry:
    """What tells whether a file was changed. Its content cannot change without the time of the change, which nobody sets."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _below(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield all files below a folder, and links to folders, which are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
            else:
                yield entry


def _status(path: Path | os.DirEntry[str]) -> os.stat_result:
    """Return what the file system says of a file.

    Raises:
        UserError: it is a pipe, a socket or a device, whose content never ends.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        what = kind_of(status.st_mode)
        raise UserError(f"{shown(os.fspath(path))} is {what}, not a file; remove it, or put a file in its place")
    return status


def _digests_of(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the digests of files in a folder, in this order."""
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            yield from zip(batch, pool.map(lambda name: digest_of(folder / name), batch), strict=True)


def _sha256(path: Path, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha256(str(size).encode())).hexdigest()


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{shown(path)} cannot be read: {error.strerror or error}")
