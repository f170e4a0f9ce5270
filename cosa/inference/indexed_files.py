"""The media below a folder: videos, pictures and folders of frames; and how each is known again without reading it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import xxhash

from cosa.data.media_files import PICTURE_SUFFIXES, open_media
from cosa.data.picture_files import frames_in
from cosa.data.video_index import VIDEO_SUFFIXES
from cosa.errors import DataError
from cosa.message_text import shown

HEAD_BYTES = 2**16
_SUFFIXES = frozenset({*VIDEO_SUFFIXES, *PICTURE_SUFFIXES})


class FileState(NamedTuple):
    """A file as it is now. bytes: its size. modified: nanoseconds since the epoch. head: digest of its beginning.

    Of a folder of frames: of all its pictures, the last time, and a digest of their names, sizes and times.
    """

    bytes: int
    modified: int
    head: str


def media_below(root: Path, on_error: Callable[[str, DataError], None], *, frame_folders: bool = False) -> Iterator[str]:
    """Yield the paths of media below a folder, relative to it, in order; hidden ones are left out.

    Args:
        root: the folder.
        on_error: is called with the path of a folder below it that cannot be read.
        frame_folders: yield a folder that holds pictures, and neither videos nor folders, instead of its pictures.

    Raises:
        DataError: the folder itself does not exist, or cannot be read.
    """

    def refuse(error: OSError) -> None:
        folder = Path(error.filename or root)
        problem = DataError(f"{shown(folder)} cannot be read ({error.strerror}); expected a folder of media")
        if folder == root:
            raise problem from error
        on_error(os.path.relpath(folder, root), problem)

    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        media = [name for name in sorted(files) if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES]
        only_pictures = media and not folders and all(Path(name).suffix.lower() in PICTURE_SUFFIXES for name in media)
        if frame_folders and only_pictures and Path(folder) != root:
            yield os.path.relpath(folder, root)
        else:
            yield from (os.path.relpath(Path(folder, name), root) for name in media)


def state_of(root: Path, path: str) -> FileState:
    """The state of a file, or a folder of frames, below a folder.

    Raises:
        DataError: it cannot be read, or is a link to a place outside of the folder.
    """
    file = root / path
    try:
        path.encode()
        _check_inside(file, root)
        if file.is_dir():
            return _state_of_frames(file, root)
        with open_media(file, "a video or a picture") as opened:
            found = os.fstat(opened.fileno())
            head = xxhash.xxh3_64_hexdigest(opened.read(HEAD_BYTES))
    except UnicodeEncodeError as error:
        raise DataError(f"{shown(file)}: its name is no UTF-8; rename it") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to one another, before Python 3.13
        raise DataError(f"{shown(file)} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    return FileState(found.st_size, found.st_mtime_ns, head)


def _check_inside(file: Path, root: Path) -> None:
    """Raise DataError if a link leads from a file to a place outside of the folder."""
    target = file.resolve()
    if not target.is_relative_to(root.resolve()):
        raise DataError(f"{shown(file)} is a link to {shown(target)}, outside the folder; index that folder, too")


def _state_of_frames(folder: Path, root: Path) -> FileState:
    """The state of a folder of frames; errors as of `state_of`."""
    found = [(frame.path, frame.path.stat()) for frame in frames_in(folder)]
    for file, _ in found:
        if file.is_symlink():
            _check_inside(file, root)
    listing = "\n".join(f"{file.name}/{stat.st_size}/{stat.st_mtime_ns}" for file, stat in found)
    size, modified = sum(stat.st_size for _, stat in found), max(stat.st_mtime_ns for _, stat in found)
    return FileState(size, modified, xxhash.xxh3_64_hexdigest(os.fsencode(listing)))
