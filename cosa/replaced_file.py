"""Files that are replaced in full or not at all, also when their writer is killed."""

from __future__ import annotations

import fcntl
import glob
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUFFIX = ".part"
_HEX = "[0-9a-f]" * 8


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write what replaces a file when the block ends; if the block raises, the file is as it was.

    The writer holds a lock on what it writes, and the kernel releases it however the writer ends. So the next writer knows what
    killed ones have left, on any machine, and removes it.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.{_HEX}{_SUFFIX}"):
        _remove_if_abandoned(left)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_SUFFIX}")
    try:
        with beside.open("xb") as held:
            _lock(held.fileno())
            yield beside
            os.fsync(held.fileno())
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool:
    """Lock an open file; False if somebody else has, or the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_if_abandoned(left: Path) -> None:
    with suppress(OSError):  # Somebody else removes it, or it may not be removed: then it stays.
        descriptor = os.open(left, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and _lock(descriptor):
                left.unlink()
        finally:
            os.close(descriptor)
