"""Computes digests of the user's own files. What was read once is read again only if its size, times or inode differ."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash

from cosa.checksums import digest_of
from cosa.data.annotation_columns import AnnotationColumns, AnnotationSource
from cosa.data.column_cache import columns_of, naming_columns
from cosa.data.media_lookup import Media
from cosa.data.split_reading import IN_FULL
from cosa.errors import DataError, UserError
from cosa.message_text import shown
from cosa.regular_files import kind_of
from workflows.planning.annotation_digests import code_of_reading, digest_of_annotations
from workflows.planning.digest_cache import DigestCache, Entry, IdList
from workflows.planning.many_checksums import READERS, OnRead, checksums_of
from workflows.results.layout import COLUMNS_FOLDER
from workflows.spec.read import MissingMedia

BATCH = 1000  # files whose reading is asked for at once
LISTED_IDS = 2**18  # Those of larger files are read from their columns.


class FileDigests:
    """Digests with a folder of caches. Losing or damaging one only costs time.

    Files have their SHA-256. Folders have one digest of the names and contents of all files below them, and of where links to
    folders lead; each file's is XXH3, because media are large. A folder is walked once: what changes later only others see.
    """

    def __init__(self, cache: Path, on_read: OnRead | None = None):
        """cache: a folder. on_read: called while files are read."""
        self.cache, self.on_read = cache, on_read
        self._files = DigestCache(cache / "files.json")
        self._folders: dict[Path, _Folder] = {}
        self._id_lists: dict[AnnotationSource, IdList] = {}
        self._columns: dict[tuple[AnnotationSource, str, Any], AnnotationColumns] = {}

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

    def of_folder(self, folder: Path, suffixes: Collection[str] = ()) -> str:
        """Digest the names and contents of all files below a folder, or of those with some suffixes, in lower case.

        Raises:
            UserError: one cannot be read.
        """
        with _errors_of(folder):
            return self._folder(folder).digest(suffixes)

    def columns(self, source: AnnotationSource) -> AnnotationColumns:
        """Return what an annotation file says, from the columns that the cache holds, if it is large.

        Raises:
            DataError: the file cannot be used.
            UserError: it cannot be read.
        """
        return self._read(source, columns_of)

    def naming_columns(self, source: AnnotationSource) -> AnnotationColumns:
        """Return columns of an annotation file of which only the identifiers are used; errors as of `columns`."""
        return self._read(source, naming_columns)

    def _read(self, source: AnnotationSource, read: Callable[[AnnotationSource, Path], AnnotationColumns]) -> AnnotationColumns:
        of = (source, self.of_file(source.path), read)
        if of not in self._columns:
            if self.cache.parent.is_dir():
                with suppress(OSError):  # Planning must also work on a read-only storage, and must not create one.
                    self.cache.mkdir(exist_ok=True)
            self._columns[of] = read(source, self.cache / COLUMNS_FOLDER)
        return self._columns[of]

    def of_annotations(self, source: AnnotationSource) -> str:
        """Digest what an annotation file says, in their order. One that cannot be used has the digest of its content.

        Raises:
            UserError: the file cannot be read.
        """
        what, of = self._what(source), [self.of_file(source.path), code_of_reading()]
        known = self.remembered(what, of)
        if known is None:
            try:
                columns = self.columns(source)
            except DataError:  # What is wrong is said by the check of annotations, for the stages that run.
                return of[0]
            read = digest_of_annotations(columns)
            known = read.digest
            self.remember(what, of, known)
            self.remember(f"amount of {what}", of, str(read.amount))
            self.remember(f"clips of {what}", of, f"{len(columns.media_numbers)} {len(columns.ids)}")
        return known

    def amount_of(self, source: AnnotationSource) -> int:
        """Return how many captions or questions of an annotation file count; 0 if it cannot be used.

        Raises:
            UserError: the file cannot be read.
        """
        return int(self._known(source, "amount") or 0)

    def clips_of(self, source: AnnotationSource) -> tuple[int, int]:
        """Return how many clips or images of an annotation file count, and how many it names; 0 if it cannot be used.

        Raises:
            UserError: the file cannot be read.
        """
        counted, named = (self._known(source, "clips") or "0 0").split()
        return int(counted), int(named)

    def media_ids(self, source: AnnotationSource) -> Iterable[str]:
        """Return the identifiers of the clips or images of an annotation file that count, each once.

        Raises:
            DataError: the file cannot be used.
            UserError: it cannot be read.
        """
        of = [self.of_file(source.path), code_of_reading()]
        known = self._ids(source).read(of)
        if known is None:
            columns = self.naming_columns(source)
            if len(columns.media_numbers) > LISTED_IDS:
                return columns.media_ids()
            known = list(columns.media_ids())
            self._ids(source).write(of, known)
        return known

    def _known(self, source: AnnotationSource, part: str) -> str | None:
        self.of_annotations(source)
        return self.remembered(f"{part} of {self._what(source)}", [self.of_file(source.path), code_of_reading()])

    @staticmethod
    def _what(source: AnnotationSource) -> str:
        reading = "" if source.reading == IN_FULL else f" as {source.reading}"
        return f"{source.kind} of {source.path.absolute()}{reading}"

    def _ids(self, source: AnnotationSource) -> IdList:
        if source not in self._id_lists:
            self._id_lists[source] = IdList(self.cache / f"ids-{_digest_of({'of': self._what(source)})[:16]}.json")
        return self._id_lists[source]

    def of_media(self, media: Media, named_by: Sequence[AnnotationSource]) -> str | MissingMedia:
        """Digest the contents of the clips or images that some files name, by their identifiers.

        Args:
            media: where they are.
            named_by: the files. Nothing is computed again unless one of them or the folder was changed.

        Returns:
            the digest, in which a clip or image without a file counts as such; or, if there are more of these than
            `media.allowed`, what is missing.

        Raises:
            DataError: an annotation file names none.
            UserError: a file cannot be read.
        """
        with _errors_of(media.root):
            folder = self._folder(media.root)
            what = self._about(media, named_by)
            state = [folder.summary, *(self.of_file(source.path) for source in named_by), code_of_reading()]
            known = None if folder.has_links else self.remembered(what, state)
            if known is not None:
                return known
            media_ids = (media_id for source in named_by for media_id in self.media_ids(source))
            contents, problems = self.contents_of(media, media_ids)
            if len(problems) > media.allowed:
                return MissingMedia(media, named_by, contents.keys(), problems)
            digest = _digest_of({**contents, **dict.fromkeys(problems)})
            self.remember(what, state, digest)
            self.remember(f"amount of {what}", [digest], str(len(contents)))
            return digest

    def amount_of_media(self, media: Media, named_by: Sequence[AnnotationSource], digest: str) -> int:
        """Return how many clips or images `of_media` has found, when it returned a digest; 0 if nobody knows any more."""
        return int(self.remembered(f"amount of {self._about(media, named_by)}", [digest]) or 0)

    def _about(self, media: Media, named_by: Iterable[AnnotationSource]) -> str:
        files = list(map(self._what, named_by))
        return _digest_of({"media": media.identity, "root": str(media.root.absolute()), "files": files})

    def contents_of(self, media: Media, media_ids: Iterable[str]) -> tuple[dict[str, str], dict[str, DataError]]:
        """Return the digests of clips or images by identifier, and by identifier what is wrong with the others."""
        with _errors_of(media.root):
            folder = self._folder(media.root)
            found, problems = media.find(media_ids)
            contents = {}
            for media_id, paths in found.items():
                digests = [folder.files.get(path) or self.checksum(media.root / path) for path in paths]
                contents[media_id] = digests[0] if len(digests) == 1 else _digest_of({"files": digests})
            return contents, problems

    def checksum(self, path: Path) -> str:
        """Digest a file as those in folders and in results are.

        Raises:
            UserError: the file cannot be read.
        """
        with _errors_of(path):
            state = _state(_status(path))
            what = f"medium {path.absolute()}"
            known = self._files.get(what, state)
            if known is None:
                known = digest_of(path)
                self._files.put(what, state, known)
        return known

    def checksums(self, paths: Sequence[Path]) -> list[str]:
        """Digest files as `checksum` does, several at once."""
        return checksums_of(paths, self.checksum, self.on_read)

    def remembered(self, what: str, of: Sequence[str]) -> str | None:
        """Return what was computed from some contents; None if nothing was, or from others. of: their digests."""
        return self._files.get(f"about {what}", _state_of(of))

    def remember(self, what: str, of: Sequence[str], value: str) -> None:
        """Store what was computed from some contents, instead of what was computed from others."""
        self._files.put(f"about {what}", _state_of(of), value)

    def save(self) -> None:
        """Write what was learned about single files."""
        self._files.save()

    def _folder(self, folder: Path) -> _Folder:
        if folder not in self._folders:
            self._folders[folder] = _Folder(folder, self._files, self.cache, self.on_read)
        return self._folders[folder]


class _Folder:
    """All files below a folder as they are at one moment. They are read when their digests are asked for."""

    def __init__(self, folder: Path, known: DigestCache, cache: Path, on_read: OnRead | None):
        self.folder, self._known, self._on_read = folder, known, on_read
        start = len(str(folder / "_")) - 1
        self._states: dict[str, Entry] = {}
        self._links: dict[str, str] = {}
        for entry in sorted(_below(str(folder)), key=lambda entry: entry.path):
            if entry.is_dir():
                self._links[entry.path[start:]] = str(Path(entry.path).readlink())
            else:
                self._states[entry.path[start:]] = _state(_status(entry))
        # The digest of all states is enough to know that nothing has changed, without the list of a million files.
        self.summary = _digest_of({**self._states, **self._links})
        self._cache = DigestCache(cache / f"folder-{_name_of(folder)}.json")

    @property
    def has_links(self) -> bool:
        """Whether links lead to other folders, whose files are not below this one."""
        return bool(self._links)

    def digest(self, suffixes: Collection[str] = ()) -> str:
        """The digest of the names and contents of files, and of where links to folders lead. suffixes: as of `of_folder`."""
        states = {name: state for name, state in self._states.items() if not suffixes or _suffix(name) in suffixes}
        is_all = len(states) == len(self._states)
        # Without other files it is known under the same name as before suffixes were chosen.
        name = str(self.folder.absolute()) + ("" if is_all else f" {' '.join(sorted(suffixes))}")
        state: Entry = [0, 0, 0, self.summary if is_all else _digest_of({**states, **self._links})]
        known = self._known.get(name, state)
        if known is None:
            known = _digest_of({**self._read(states), **self._links})
            self._known.put(name, state, known)
        return known

    @cached_property
    def files(self) -> dict[str, str]:
        """Digests of the contents by path below the folder."""
        return self._read(self._states)

    def _read(self, states: Mapping[str, Entry]) -> dict[str, str]:
        """Return digests of the contents of some files."""
        found = {name: self._cache.get(name, state) for name, state in states.items()}
        unread = [name for name, digest in found.items() if digest is None]
        done, total = 0, sum(states[name][0] for name in unread)
        try:
            for name, digest in _digests_of(self.folder, unread):
                found[name] = digest
                self._cache.put(name, states[name], digest)
                done += states[name][0]
                if self._on_read is not None:
                    self._on_read(self.folder, done, total)
        finally:  # Whoever interrupts the reading of a terabyte does not lose what was read.
            self._cache.forget_all_but(self._states)
            self._cache.save()
        return {name: str(digest) for name, digest in found.items()}


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  no Path objects for millions of names


def _name_of(path: Path) -> str:
    return xxhash.xxh3_64_hexdigest(os.fsencode(path.absolute()))


def _state_of(of: Sequence[str]) -> Entry:
    return [0, 0, 0, " ".join(of)]


def _digest_of(what: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(what, sort_keys=True).encode())


@contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    """Report a file or folder that cannot be read as a mistake of the user's."""
    try:
        yield
    except OSError as error:
        raise _unreadable(Path(error.filename or folder), error) from error


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
