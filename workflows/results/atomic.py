"""Writes files and folders so that they exist in full or not at all, also after a loss of power."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cosa.replaced_file import replacing

MANY_FILES = 1000  # From here on one request for all file systems is faster than one for each file.


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that readers see the old or the new content, never a part.

    Raises:
        OSError: of this file: the disk is full, or the folder cannot be written. The older content stays.
    """
    try:
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    flush(path.parent)


def rename_durably(source: Path, target: Path) -> None:
    """Rename a folder whose files are flushed already; afterwards no loss of power brings the old name back."""
    source.rename(target)
    flush(target.parent)
    if source.parent != target.parent:
        flush(source.parent)


def flush(path: Path, *, from_memory: bool = False) -> None:
    """Have the disk write a file or the names in a folder.

    from_memory: also drop what memory holds of it, so that the next reader reads the disk.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            os.fsync(descriptor)
        except OSError as error:
            if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise  # Some network file systems flush no folders, because their servers do.
        if from_memory and hasattr(os, "posix_fadvise"):  # macOS has no such call.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Have the disk write a folder with all that is in it.

    Raises:
        OSError: the disk refuses, or lost something that was written before.
    """
    found = [(Path(root), files) for root, _, files in os.walk(folder, topdown=False)]
    if sum(len(files) for _, files in found) > MANY_FILES:
        os.sync()  # Each file is still flushed below, because only that reports errors, but it has little left to do.
    for root, files in found:
        for name in files:
            if not (root / name).is_symlink():
                flush(root / name)
        flush(root)
