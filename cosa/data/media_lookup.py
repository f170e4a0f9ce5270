"""Finds the files of many clips or images at once, so that a plan can tell which are there and what they contain.

Only the standard library is imported, because the planner looks as well. Every folder is listed once.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

from cosa.data.frame_digests import FRAME_NAME
from cosa.data.media_files import IMAGE_SUFFIXES, MediaFolder, names_in
from cosa.data.media_ids import check_media_id
from cosa.data.video_index import VideoIndex
from cosa.errors import DataError

_NOT_A_WORD = re.compile(r"[\W_]+")
_FOLDERS = 20  # folders in which a missing name is looked for
_COMPARED = 5000  # names that are compared letter by letter with a missing one


@dataclass(frozen=True)
class Media(ABC):
    """The clips or images of a dataset. linked_folders: where links out of the folder may lead. allowed: how many of them may
    lack a file."""

    root: Path
    linked_folders: tuple[str, ...] = ()
    allowed: int = 0

    plural: ClassVar[str]

    @property
    def identity(self) -> str:
        """A name for this way of looking, in this folder."""
        return f"{type(self).__name__} {self.linked_folders} {self.allowed}"

    def find(self, media_ids: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
        """The files of each, as paths below the root, by identifier; and by identifier why the others have none."""
        found, problems = {}, {}
        files = self._locator()
        for media_id in dict.fromkeys(media_ids):
            try:
                check_media_id(media_id)
                found[media_id] = files(media_id)
            except DataError as error:
                problems[media_id] = str(error)
        return found, problems

    def near(self, media_id: str) -> str | None:
        """The file that a missing clip or image may mean, as a path below the root; None if none is similar.

        Its name may be spelled otherwise, or it may lie in a folder inside of where it should be.
        """
        parent, _, name = media_id.rpartition("/")
        here = self.root / parent
        names = sorted(names_in(here))
        folders = [parent, *(f"{parent}/{other}".strip("/") for other in names if (here / other).is_dir())][:_FOLDERS]
        for folder in folders:
            for other in names_in(self.root / folder):
                if (
                    _letters(name) in (_letters(other), _letters(Path(other).stem))
                    and not (self.root / folder / other).is_dir()
                ):
                    return f"{folder}/{other}".lstrip("/")
        stems = {Path(other).stem: other for other in names[:_COMPARED]}
        close = get_close_matches(name, stems, 1, cutoff=0.8)
        return f"{parent}/{stems[close[0]]}".lstrip("/") if close else None

    @abstractmethod
    def _locator(self) -> Callable[[str], list[str]]:
        """A function that returns the files of one, as paths below the root, or raises DataError."""


@dataclass(frozen=True)
class Clips(Media):
    """Video files."""

    plural = "clips"

    def _locator(self) -> Callable[[str], list[str]]:
        index, start = VideoIndex(self.root, self.linked_folders), len(str(self.root / "_")) - 1
        return lambda media_id: [str(index.find(media_id))[start:]]


@dataclass(frozen=True)
class Images(Media):
    """Image files."""

    plural = "images"

    def _locator(self) -> Callable[[str], list[str]]:
        folder = MediaFolder(self.root, self.linked_folders)

        def files(media_id: str) -> list[str]:
            parent, _, name = media_id.rpartition("/")
            real = folder.sub_folder(parent)
            for suffix in IMAGE_SUFFIXES if real is not None else ():
                stored = folder.entry(str(real), name + suffix)
                if stored is not None and (suffix or not (self.root / str(real) / stored).is_dir()):
                    return [f"{real}/{stored}" if real else stored]
            raise DataError("it has no file")

        return files


@dataclass(frozen=True)
class FrameSets(Media):
    """A person's own frames of clips, in a folder for each clip."""

    plural = "clips"

    def _locator(self) -> Callable[[str], list[str]]:
        folder = MediaFolder(self.root, self.linked_folders)

        def files(media_id: str) -> list[str]:
            real = folder.sub_folder(media_id)
            names = [] if real is None else [name for name in names_in(self.root / real) if FRAME_NAME.fullmatch(name)]
            if not names:
                raise DataError("it has no folder of frames")
            return [f"{real}/{name}" for _, name in sorted((int(str(FRAME_NAME.sub(r"\1", name))), name) for name in names)]

        return files


def _letters(name: str) -> str:
    """A name without accents, capitals, spaces and punctuation."""
    if not name.isascii():
        name = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return _NOT_A_WORD.sub("", name.casefold())
