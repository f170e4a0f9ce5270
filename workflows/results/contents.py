"""Lists the files of a result, so that what is used is what was made."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from cosa.checksums import digest_of
from cosa.data.stored_frames import StoredFrames
from cosa.errors import DataError
from cosa.regular_files import read_regular
from workflows.results.atomic import write_atomically
from workflows.results.layout import FRAMES_FOLDER, MANIFEST, RAY_FOLDER, RUN_NOTE, STORAGE_NOTE, UNRECORDED_FILE, clips_list

CONTENTS = "contents.json"
# Frames have digests of their own, and the others change after a result is published.
NOT_LISTED = frozenset({MANIFEST, CONTENTS, RAY_FOLDER, STORAGE_NOTE, FRAMES_FOLDER, UNRECORDED_FILE, RUN_NOTE})


@dataclass(frozen=True)
class Contents:
    """Size in bytes and digest of every file of a result, by its path below the result's folder."""

    files: dict[str, tuple[int, str]]

    @classmethod
    def of(cls, folder: Path) -> Contents:
        """Read all files of a folder.

        Raises:
            OSError: one cannot be read.
        """
        return cls({name: ((folder / name).stat().st_size, digest_of(folder / name)) for name in sorted(_files(folder))})

    @staticmethod
    def listed(folder: Path, expected: str) -> dict[str, tuple[int, str]]:
        """Return the files that a result's list names; nothing without a list, or if it is damaged. expected: its digest."""
        found = _read(folder, expected) if expected else ""
        return {} if isinstance(found, str) else found.files

    @property
    def digest(self) -> str:
        """Return the digest that binds the list to a manifest."""
        return xxhash.xxh3_128_hexdigest(self._text().encode())

    def write(self, folder: Path) -> None:
        """Write the list into the folder of the result."""
        write_atomically(folder / CONTENTS, self._text())

    def _text(self) -> str:
        return json.dumps(self.files, indent=0, sort_keys=True) + "\n"


def damage_at_a_glance(folder: Path, expected: str) -> str | None:
    """Say which file of a result is gone or has another size; None if none. No content is read but that of the list.

    expected: the digest of the list, which the manifest holds; results from before lists were made have none.
    """
    if not expected:
        return None
    found = _read(folder, expected)
    if isinstance(found, str):
        return found
    listed = clips_list(folder)
    if listed is not None and listed.name in found.files and (gone := _lost_frames(listed)) is not None:
        return gone
    for name, (size, _) in found.files.items():
        try:
            status = (folder / name).stat()
        except OSError as error:
            return f"{name} is gone" if isinstance(error, FileNotFoundError) else f"{name}: {error.strerror}"
        if not stat.S_ISREG(status.st_mode):
            return f"{name} is no file"
        if status.st_size != size:
            return f"{name} has {status.st_size} bytes, not {size}"
    return None


def made_as(folder: Path, expected: str, files: Iterable[Path], checksum: Callable[[Path], str]) -> bool:
    """Return whether some files of a result are what was made. checksum: of a file's content, as `digest_of`."""
    listed = _read(folder, expected) if expected else ""
    if isinstance(listed, str):
        return False
    return all(listed.files.get(os.path.relpath(file, folder), (0, ""))[1] == checksum(file) for file in files)


def _lost_frames(listed: Path) -> str | None:
    """Say how many of the clips in a list have no frames in the store any more; None if none."""
    try:
        frames = StoredFrames.read(listed)
    except (DataError, OSError) as error:
        return str(error)
    lost = frames.lost()
    return f"the frames of {lost} of {len(frames.clips)} clips are gone" if lost else None


def damage(folder: Path, expected: str) -> str | None:
    """Read all of a result, and say which file differs from what was made; None if none."""
    found = damage_at_a_glance(folder, expected)
    if found is not None or not expected:
        return found
    listed = _read(folder, expected)
    assert isinstance(listed, Contents)
    for name, (_, digest) in listed.files.items():
        try:
            if digest_of(folder / name) != digest:
                return f"the content of {name} is not what was written"
        except OSError as error:
            return f"{name}: {error.strerror or error}"
    return None


def _read(folder: Path, expected: str) -> Contents | str:
    """Return the list of a result, or what is wrong with it."""
    try:
        text = read_regular(folder / CONTENTS)
    except OSError as error:
        return f"{CONTENTS} is gone" if isinstance(error, FileNotFoundError) else f"{CONTENTS}: {error.strerror}"
    if xxhash.xxh3_128_hexdigest(text) != expected:
        return f"{CONTENTS} does not belong to its manifest"
    return Contents({name: (size, digest) for name, (size, digest) in json.loads(text).items()})


def _files(folder: Path) -> Iterator[str]:
    """Yield the paths of all files that are listed."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        if here == folder:
            folders[:] = [name for name in folders if name not in NOT_LISTED]
        yield from (str((here / name).relative_to(folder)) for name in files if here != folder or name not in NOT_LISTED)
