"""Stores digests, and identifiers that annotation files name, in small files. Losing or damaging one only costs time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosa.regular_files import read_regular
from workflows.results.atomic import write_atomically

ENTRY_LENGTH = 5  # An entry of a cache holds size, times of modification and change, inode and digest.
Entry = list[Any]


class IdList:
    """Identifiers that one annotation file names, in a JSON file, valid for one content of it."""

    def __init__(self, path: Path):
        self.path = path
        self._known: dict[str, Any] | None = None

    def read(self, of: Sequence[str]) -> list[str] | None:
        """Return the identifiers of a content; None if those of another are stored, or none."""
        if self._known is None:
            try:
                found = json.loads(read_regular(self.path))
                self._known = found if isinstance(found, dict) else {}
            except (OSError, ValueError):
                self._known = {}
        return self._known.get("ids") if self._known.get("of") == of else None

    def write(self, of: Sequence[str], ids: list[str]) -> None:
        """Store identifiers, if that is possible. of: digests of what they come from."""
        self._known = {"of": of, "ids": ids}
        _write_cache(self.path, self._known)


class DigestCache:
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
        """Return the digest of something in a state; None if it is not known."""
        known = self._known.get(name)
        return str(known[-1]) if known is not None and known[:-1] == state else None

    def put(self, name: str, state: Entry, digest: str) -> None:
        """Remember a digest until `save`, instead of that of another state."""
        self._known[name] = [*state, digest]
        self._changed = True

    def forget_all_but(self, names: dict[str, Entry]) -> None:
        """Forget what is not among some names."""
        self._read = {name: entry for name, entry in self._known.items() if name in names}

    def save(self) -> None:
        """Write the file if it can be written, and if the storage folder exists, since planning must not create one."""
        if self._changed and _write_cache(self.path, self._known):
            self._changed = False


def _write_cache(path: Path, content: Mapping[str, Any]) -> bool:
    """Write a file if it can be written, and if the storage folder exists, since planning must not create one."""
    if not path.parent.parent.is_dir():
        return False
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, json.dumps(content))
    except OSError:
        return False  # Planning must also work on a read-only storage; it is merely computed again.
    return True


def _read_cache(path: Path) -> dict[str, Entry]:
    try:
        known = json.loads(read_regular(path))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: entry for name, entry in known.items() if isinstance(entry, list) and len(entry) == ENTRY_LENGTH}
