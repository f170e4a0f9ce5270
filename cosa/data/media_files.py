"""Files of clips, images and frames below a folder: found by identifier, through links only where that is allowed.

One rule holds for all media. A link may lead to another place inside the folder, or into one of the `linked_folders` that
the dataset names. Names match in either Unicode form. Only regular files are opened: a pipe would block for ever.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from cosa.data.frame_checks import check_frame
from cosa.data.media_ids import canonical, check_media_id
from cosa.errors import DataError
from cosa.message_text import quoted, shown
from cosa.regular_files import NotRegularError, open_regular

if TYPE_CHECKING:
    import numpy as np

IMAGE_SUFFIXES = ("", ".jpg", ".JPEG", ".jpeg", ".JPG", ".png", ".PNG", ".webp")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})  # of files that a person names, in lower case


class PictureFile(NamedTuple):
    """A picture on disk.

    digest: that its content must have; "" if none is known. place: its first byte and number of bytes, where the file holds
    others.
    """

    path: Path
    digest: str = ""
    place: tuple[int, int] | None = None

    def read(self, max_pixels: int) -> "np.ndarray":
        """Decode it; result and errors as of `cosa.data.pictures.read_picture`."""
        from cosa.data.pictures import read_picture  # Names of files are looked up without it.

        return read_picture(self.path, max_pixels, self.digest, self.place)

    def content(self) -> bytes:
        """Read its bytes.

        Raises:
            DataError: it is missing, or not what extraction wrote.
        """
        with open_media(self.path, "a frame") as file:
            file.seek(self.place[0] if self.place is not None else 0)
            content = file.read(self.place[1] if self.place is not None else -1)
        if self.digest:
            check_frame(self.path, content, self.digest)
        return content


def open_media(path: Path, expected: str) -> BinaryIO:
    """Open a regular file of a dataset to read it.

    Args:
        path: The file.
        expected: What it should be, for messages: "a picture".

    Raises:
        DataError: it is missing, may not be read, or is no regular file.
        OSError: the file system fails.
    """
    try:
        return open_regular(path)
    except NotRegularError as error:
        raise DataError(f"{shown(path)} is {error.kind}, not a file; expected {expected}") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{shown(path)} is missing or not a file; expected {expected}") from error
    except PermissionError as error:
        raise DataError(f"{shown(path)} cannot be read ({error.strerror}); expected {expected}") from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise DataError(f"{shown(path)} is a link that leads in a circle; expected {expected}") from error


class MediaFolder:
    """A folder of clips, images or folders of frames. Every folder that identifiers name is listed once, and only if needed."""

    def __init__(self, root: Path, linked_folders: Iterable[Path | str] = ()) -> None:
        self.root = root
        self._allowed = tuple(Path(folder) for folder in linked_folders)
        self._listings: dict[str, dict[str, list[str]]] = {}
        self._real: tuple[Path, ...] = ()

    def file(self, media_id: str, suffixes: Sequence[str]) -> Path | None:
        """The file that an identifier names, with the first suffix that exists; None if there is none.

        Raises:
            DataError: unusable identifier, two entries whose names look alike, or a link that leads where it may not.
        """
        return self._find(media_id, suffixes, folders=False)

    def folder(self, media_id: str) -> Path | None:
        """The folder that an identifier names; None if there is none. Errors as of `file`."""
        return self._find(media_id, ("",), folders=True)

    def _find(self, media_id: str, suffixes: Sequence[str], *, folders: bool) -> Path | None:
        check_media_id(media_id)
        if media_id.isascii():  # plain names are looked up without a list: a folder may hold millions of images
            for suffix in suffixes:
                path = self.root / f"{media_id}{suffix}"
                if os.path.lexists(path) and path.is_dir() == folders:
                    return self.allowed(path)
        parent, _, name = media_id.rpartition("/")
        real = self.sub_folder(parent)
        if real is None:
            return None
        for suffix in suffixes:
            found = self.entry(real, name + suffix)
            if found is not None and (self.root / real / found).is_dir() == folders:
                return self.allowed(self.root / real / found)
        return None

    def sub_folder(self, folder: str) -> str | None:
        """The path below the root of a folder that identifiers name, as it is stored; None if there is none."""
        real = ""
        for part in filter(None, folder.split("/")):
            found = self.entry(real, part)
            if found is None:
                return None
            real = f"{real}/{found}" if real else found
        return real

    def entry(self, folder: str, name: str) -> str | None:
        """How a folder below the root stores a name; None if it does not.

        Raises:
            DataError: two stored names look like this one.
        """
        return only(self._listed(folder).get(canonical(name), []), self.root / folder)

    def entries(self, folder: str, name: str, suffixes: Sequence[str]) -> Iterator[tuple[str, str]]:
        """(suffix, stored name) of the entries of a folder below the root that have a name and one of some suffixes.

        Raises:
            DataError: two stored names look like one of them.
        """
        listed, name = self._listed(folder), canonical(name)
        for suffix in suffixes:
            stored = listed.get(name + suffix)
            if stored is not None:
                yield suffix, str(only(stored, self.root / folder))

    def allowed(self, path: Path) -> Path:
        """The path itself, if no link on it leads where it may not.

        Raises:
            DataError: a link leads elsewhere.
        """
        if not self._real:
            self._real = tuple(map(_real_path, (self.root, *self._allowed)))
        target = _real_path(path)
        if not any(target.is_relative_to(folder) for folder in self._real):
            raise DataError(
                f"{shown(path)} is a link to {shown(target)}, outside the media folder; put the file itself there, or allow "
                "the folder that the link leads to: linked_folders of the dataset"
            )
        return path

    def _listed(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._listings:
            self._listings[folder] = by_form(names_in(self.root / folder))
        return self._listings[folder]


def _real_path(path: Path) -> Path:
    """Where links lead; one that leads in a circle, only so far, which is reported when the file is opened."""
    return Path(os.path.realpath(path))  # Path.resolve raises an error for it, another in each version of Python.


def names_in(folder: Path) -> list[str]:
    """Names of all entries of a folder; none if there is no such folder."""
    try:
        return os.listdir(folder)  # noqa: PTH208  no Path objects for millions of names
    except (FileNotFoundError, NotADirectoryError):
        return []


def by_form(names: Iterable[str]) -> dict[str, list[str]]:
    """Stored names by their composed form."""
    listing: dict[str, list[str]] = {}
    for name in names:
        listing.setdefault(canonical(name), []).append(name)
    return listing


def only(names: Sequence[str], folder: Path) -> str | None:
    """The one name among those that look alike; None if there is none.

    Raises:
        DataError: there are several.
    """
    if len(names) > 1:
        forms = " and ".join(ascii(name) for name in sorted(names))
        raise DataError(
            f"{shown(folder)} holds {forms}, which look alike (composed and decomposed Unicode); remove one of them"
        )
    return names[0] if names else None


def check_one_file(media_id: str, names: Sequence[str], folder: Path) -> None:
    """Refuse an identifier that fits several files: nobody could know which of them is meant.

    Raises:
        DataError: it names the files.
    """
    if len(names) > 1:
        raise DataError(
            f"{quoted(media_id)} has {len(names)} files in {shown(folder)}: {', '.join(map(shown, sorted(names)))}; remove all "
            "but one, or write the suffix in the annotations, too"
        )


def absent(folder: MediaFolder, media_ids: Iterable[str], suffixes: Sequence[str]) -> list[str]:
    """The identifiers without an entry of that name (and one of the suffixes).

    Every folder that identifiers name is listed once: millions of files are checked in seconds, without opening any.

    Raises:
        DataError: an identifier fits several entries.
    """
    names: dict[str, set[str]] = {}
    lacking: dict[str, None] = {}
    for media_id in media_ids:  # They may be millions, and are not held.
        check_media_id(media_id)
        parent, _, name = media_id.rpartition("/")
        if parent not in names:
            real = folder.sub_folder(parent)
            names[parent] = set() if real is None else {canonical(entry) for entry in names_in(folder.root / real)}
        if canonical(name) in names[parent] and "" in suffixes:
            continue
        found = [name + suffix for suffix in suffixes if canonical(name + suffix) in names[parent]]
        check_one_file(media_id, found, folder.root / parent)
        if not found:
            lacking[media_id] = None
    return list(lacking)
