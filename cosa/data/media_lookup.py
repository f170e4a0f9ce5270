"""Finds the files of many clips or images at once, so that a plan can tell which are there and what they contain.

Only the standard library is imported, because the planner looks as well. Every folder is listed once.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

from cosa.data.clip_errors import NoMediaError
from cosa.data.frame_digests import FRAME_NAME
from cosa.data.media_files import IMAGE_SUFFIXES, MediaFolder, check_one_file, names_in
from cosa.data.media_ids import check_media_id
from cosa.data.video_index import VIDEO_SUFFIXES, VideoIndex
from cosa.errors import DataError
from cosa.message_text import quoted, shown

_NOT_A_WORD = re.compile(r"[\W_]+")
_NUMBERS = re.compile(r"\d+")
_FOLDERS = 20  # folders in which a missing name is looked for
_COMPARED = 5000  # names that are compared letter by letter with a missing one


@dataclass(frozen=True)
class Media(ABC):
    """The clips or images of a dataset.

    linked_folders: where links out of the folder may lead. allowed: how many of them may lack a file. singular, plural: what
    they are called. of: what of them is looked for, in words before that. suffixes: of their files. are_folders: whether there
    are folders instead.
    """

    root: Path
    linked_folders: tuple[str, ...] = ()
    allowed: int = 0

    singular: ClassVar[str]
    plural: ClassVar[str]
    of: ClassVar[str] = ""
    suffixes: ClassVar[Collection[str]] = ()
    are_folders: ClassVar[bool] = False

    @property
    def identity(self) -> str:
        """A name for this way of looking, in this folder."""
        return f"{type(self).__name__} {self.linked_folders} {self.allowed}"

    def find(self, media_ids: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, DataError]]:
        """The files of each, as paths below the root, by identifier; and by identifier why the others cannot be used."""
        found, problems = {}, {}
        files = self._locator()
        for media_id in dict.fromkeys(media_ids):
            try:
                check_media_id(media_id)
                found[media_id] = files(media_id)
            except DataError as error:
                problems[media_id] = error
        return found, problems

    def near(self, media_id: str, named: Container[str] = ()) -> str | None:
        """The identifier that one without a file may mean; None if none is similar.

        It may be spelled otherwise, the file may lie in a folder inside of where it should be, or the identifier may begin with
        folders above. named: those that annotations name as well. They mean themselves if their numbers differ: video1 where
        video2 is looked for.
        """

        def may_be_meant(other: str) -> bool:
            return other not in named or _NUMBERS.findall(other) == _NUMBERS.findall(media_id)

        parent, _, name = media_id.rpartition("/")
        here = self.root / parent
        names = sorted(names_in(here))
        inner = [media_id[place + 1 :] for place, letter in enumerate(media_id) if letter == "/"]
        if inner and (below := self.find(inner)[0]):
            return next(iter(below))
        folders = [parent, *(f"{parent}/{other}".strip("/") for other in names if (here / other).is_dir())][:_FOLDERS]
        for folder in folders:
            for other in names_in(self.root / folder):
                if _letters(name) in (_letters(other), _letters(Path(other).stem)) and self._is_one(self.root / folder / other):
                    found = f"{folder}/{self._without_suffix(other)}".lstrip("/")
                    if may_be_meant(found):
                        return found
        own = {self._without_suffix(other): other for other in names[:_COMPARED]}
        free = [other for other in own if may_be_meant(f"{parent}/{other}".lstrip("/"))]
        close = (other for other in get_close_matches(name, free, cutoff=0.8) if self._is_one(here / own[other]))
        return next((f"{parent}/{other}".lstrip("/") for other in close), None)

    def _is_one(self, path: Path) -> bool:
        """Whether a path may be a clip or image of this kind."""
        has_suffix = path.suffix.lower() in self.suffixes or "" in self.suffixes or self.are_folders
        return has_suffix and path.is_dir() == self.are_folders

    def _without_suffix(self, name: str) -> str:
        return Path(name).stem if Path(name).suffix.lower() in self.suffixes else name

    @abstractmethod
    def _locator(self) -> Callable[[str], list[str]]:
        """A function that returns the files of one, as paths below the root, or raises DataError."""


@dataclass(frozen=True)
class Clips(Media):
    """Video files."""

    singular = "clip"
    plural = "clips"
    suffixes = VIDEO_SUFFIXES

    def _locator(self) -> Callable[[str], list[str]]:
        index, start = VideoIndex(self.root, self.linked_folders), len(str(self.root / "_")) - 1
        return lambda media_id: [str(index.find(media_id))[start:]]


@dataclass(frozen=True)
class Images(Media):
    """Image files."""

    singular = "image"
    plural = "images"
    suffixes = IMAGE_SUFFIXES

    def _locator(self) -> Callable[[str], list[str]]:
        folder = MediaFolder(self.root, self.linked_folders)

        def files(media_id: str) -> list[str]:
            parent, _, name = media_id.rpartition("/")
            real = folder.sub_folder(parent)
            found = []
            for suffix, stored in folder.entries(real, name, IMAGE_SUFFIXES) if real is not None else ():
                if suffix or not (self.root / str(real) / stored).is_dir():
                    found.append(stored)
                    if not suffix:  # The name in full stands for itself, whatever else is there.
                        break
            check_one_file(media_id, found, self.root / parent)
            if not found:
                raise NoMediaError(f"no image {quoted(media_id)} in {shown(self.root)}")
            return [f"{real}/{found[0]}" if real else found[0]]

        return files


@dataclass(frozen=True)
class FrameSets(Media):
    """A person's own frames of clips, in a folder for each clip."""

    singular = "clip"
    plural = "clips"
    of = "frames of "
    are_folders = True

    def _locator(self) -> Callable[[str], list[str]]:
        folder = MediaFolder(self.root, self.linked_folders)

        def files(media_id: str) -> list[str]:
            real = folder.sub_folder(media_id)
            names = [] if real is None else [name for name in names_in(self.root / real) if FRAME_NAME.fullmatch(name)]
            if real is None or not (self.root / real).is_dir():
                raise NoMediaError(f"no folder of frames of clip {quoted(media_id)} in {shown(self.root)}")
            if not names:
                raise DataError(f"{shown(self.root / real)} holds no frames; expected frame_0001.jpg, frame_0002.jpg, ...")
            return [f"{real}/{name}" for _, name in sorted((int(str(FRAME_NAME.sub(r"\1", name))), name) for name in names)]

        return files


def _letters(name: str) -> str:
    """A name without accents, capitals, spaces and punctuation."""
    if not name.isascii():
        name = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return _NOT_A_WORD.sub("", name.casefold())
