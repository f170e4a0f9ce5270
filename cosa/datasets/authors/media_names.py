"""Finds the clips and images that annotations name below a folder, whatever folders below it they are in."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import xxhash
from numpy.typing import NDArray

from cosa.data.media_files import IMAGE_SUFFIXES
from cosa.data.media_ids import canonical
from cosa.data.video_index import VIDEO_SUFFIXES
from cosa.datasets.authors.corpus import AuthorOptions, Corpus
from cosa.errors import DataError
from cosa.message_text import quoted, shown

# Gives the identifier under which a dataset finds a medium; None if it has no file.
Finder = Callable[[str], str | None]

_SUFFIXES = {"video": frozenset(VIDEO_SUFFIXES), "image": frozenset(suffix.lower() for suffix in IMAGE_SUFFIXES if suffix)}


def media_finder(corpus: Corpus, options: AuthorOptions) -> Finder | None:
    """Return what finds a corpus' media; None if the options name no folder of them.

    Raises:
        DataError: a folder cannot be listed.
    """
    if options.media is not None:
        root = Path(options.media).expanduser()
        return _ExactNames(root, corpus.media).find if corpus.exact_paths else _NamesBelow(root, corpus).find
    if options.frames is not None:
        folder = Path(options.frames).expanduser()
        names = {canonical(name) for name in _listed(folder)}
        return lambda media_id: media_id if canonical(media_id) in names or (folder / media_id).is_dir() else None
    return None


class _NamesBelow:
    """All media below a folder by name. One that is called a.mov, or `a.`, may be a.mov.mp4: some scripts append that."""

    def __init__(self, root: Path, corpus: Corpus):
        self.root, self._prefix, suffixes = root, corpus.prefix, _SUFFIXES[corpus.media]
        self._paths: dict[str, list[str]] = {}
        for path in _without_suffix(root, suffixes):
            name = path.rpartition("/")[2]
            stem, suffix = os.path.splitext(name)  # noqa: PTH122  100,000 files: no Path objects
            for known in (name, *([stem] if suffix.lower() in (*suffixes, ".") else [])):
                paths = self._paths.setdefault(canonical(known), [])
                if path not in paths:
                    paths.append(path)

    def find(self, media_id: str) -> str | None:
        """Return the path of a medium below the folder, without its suffix; None if it has no file.

        Raises:
            DataError: it may be one of several files.
        """
        name = canonical(media_id.rpartition("/")[2])
        paths = self._paths.get(name) or (self._paths.get(name.removeprefix(self._prefix), []) if self._prefix else [])
        if media_id in paths:
            return media_id
        if len(paths) > 1:
            raise DataError(
                f"{quoted(media_id)} may be {shown(self.root / paths[0])} or {shown(self.root / paths[1])}; remove one of "
                "them, or name the folder of one as media"
            )
        return paths[0] if paths else None


class _ExactNames:
    """Millions of media whose paths below the folder annotations say exactly: 8 bytes each."""

    def __init__(self, root: Path, media: str):
        hashes = array("Q", (_hash(path) for path in _without_suffix(root, _SUFFIXES[media])))
        self._hashes: NDArray[np.uint64] = np.sort(np.frombuffer(hashes, np.uint64))

    def find(self, media_id: str) -> str | None:
        """Return the identifier itself; None if it has no file."""
        wanted = np.uint64(_hash(media_id))
        place = int(np.searchsorted(self._hashes, wanted))
        return media_id if place < len(self._hashes) and self._hashes[place] == wanted else None


def _hash(path: str) -> int:
    return xxhash.xxh3_64_intdigest(canonical(path).encode(errors="surrogateescape"))


def _without_suffix(root: Path, suffixes: frozenset[str]) -> Iterator[str]:
    """Yield the paths of all media below a folder, without their suffixes."""
    start = len(os.fspath(root / "_")) - 1
    for folder, below, names in os.walk(root, onerror=_cannot_list):
        below.sort()
        for name in names:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122
            if suffix.lower() in suffixes:
                yield f"{folder}/{stem}"[start:].lstrip("/")


def _cannot_list(error: OSError) -> NoReturn:
    raise DataError(f"{shown(error.filename)} cannot be listed: {error.strerror or error}") from error


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as error:
        _cannot_list(error)
