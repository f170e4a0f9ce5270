"""The files that a dataset's authors publish, and where they are: in a folder, in one below it, or in an archive.

Only the standard library is imported, because the planner looks for them as well.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from cosa.errors import DataError
from cosa.message_text import shown
from cosa.regular_files import open_regular


@dataclass(frozen=True)
class SourceFile:
    """A file as its authors publish it.

    name: its name. also: other names under which the same is published. folders: below the source folder, in which it may be,
    too. archives: zip or tar files that hold it. unless: names of files that hold the same, so that it is not needed beside
    them. optional: whether the conversion works without it.
    """

    name: str
    also: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    optional: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All names that it may have."""
        return (self.name, *self.also)

    def find(self, source: Path) -> SourcePlace | None:
        """Where it is; None if it is not there. A file by itself comes before one in an archive."""
        for name in self.names:
            for folder in ("", *self.folders):
                if (path := source / folder / name).is_file():
                    return SourcePlace(path)
        for archive in self.archives:
            for folder in ("", *self.folders):
                if (path := source / folder / archive).is_file():
                    members = {PurePosixPath(member).name: member for member in _members(path)}
                    found = next((members[name] for name in self.names if name in members), None)
                    if found is not None:
                        return SourcePlace(path, found)
        return None


@dataclass(frozen=True)
class SourcePlace:
    """A file, or a member of an archive."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        """Say where it is, for messages."""
        return f"{shown(self.path)}:{shown(self.member)}" if self.member else shown(self.path)

    @property
    def name(self) -> str:
        """Its own name."""
        return PurePosixPath(self.member).name if self.member else self.path.name

    def below(self, folder: Path) -> str:
        """Say where it is below a folder that it is in."""
        inside = self.path.relative_to(folder).as_posix()
        return f"{inside}:{self.member}" if self.member else inside

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it to read it.

        Raises:
            DataError: the archive is damaged.
            OSError: it cannot be read.
        """
        with open_regular(self.path) as file:
            if not self.member:
                yield file
            elif self.path.suffix == ".zip":
                with _archive_errors(self.path), zipfile.ZipFile(file) as archive, archive.open(self.member) as member:
                    yield cast(BinaryIO, member)
            else:
                with _archive_errors(self.path), tarfile.open(fileobj=file) as packed:
                    found = packed.extractfile(self.member)
                    if found is None:
                        raise DataError(f"{self} is not a file; take the archive as its authors publish it")
                    with found:
                        yield cast(BinaryIO, found)


def found_files(source: Path, files: Sequence[SourceFile]) -> dict[str, SourcePlace]:
    """Return where files are, by name; those that are not there are left out."""
    places = ((file.name, file.find(source)) for file in files)
    return {name: place for name, place in places if place is not None}


def missing_files(files: Sequence[SourceFile], found: dict[str, SourcePlace]) -> list[SourceFile]:
    """Return those files that are needed and not among what was found."""
    present = {place.name for place in found.values()}
    needed = (file for file in files if not file.optional and file.name not in found)
    return [file for file in needed if not present & set(file.unless)]


def _members(path: Path) -> list[str]:
    """Return the names of all files in an archive."""
    with open_regular(path) as file, _archive_errors(path):
        if path.suffix == ".zip":
            with zipfile.ZipFile(file) as archive:
                return [info.filename for info in archive.infolist() if not info.is_dir()]
        with tarfile.open(fileobj=file) as archive:
            return [member.name for member in archive if member.isfile()]


@contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DataError(f"{shown(path)} is not an archive that can be read ({error}); download it again") from error
