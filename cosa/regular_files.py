"""Opens regular files only: to open a pipe that nobody writes to would wait for ever, and a device has no end."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularError(OSError):
    """What is at a path is no regular file. kind: what it is, in words."""

    def __init__(self, path: Path, kind: str):
        super().__init__(errno.EINVAL, f"it is {kind}, not a file", str(path))
        self.kind = kind


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read it.

    Raises:
        NotRegularError: it is a folder, a pipe, a socket or a device.
        OSError: it is missing, may not be read, or the file system fails.
    """
    _require_regular(path, path.stat().st_mode)
    # What replaces the file now cannot block either: it is opened without waiting, and looked at again.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))  # noqa: SIM115
    try:
        _require_regular(path, os.fstat(file.fileno()).st_mode)
    except NotRegularError:
        file.close()
        raise
    return file


def read_regular(path: Path) -> bytes:
    """Read a regular file; errors as of `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def kind_of(mode: int) -> str:
    """What a file that is not regular is, in words."""
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "something special")


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegularError(path, kind_of(mode))
