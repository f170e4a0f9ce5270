"""Says how much room files take on the disk."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

UNITS = ("kB", "MB", "GB", "TB")


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, or of a file. A file with two names counts once; links are not followed."""
    return sum({(status.st_dev, status.st_ino): status.st_size for status in _files(folder)}.values())


def freed_by_removing(paths: Iterable[Path]) -> tuple[int, int]:
    """Return the bytes that removing some folders frees, and those that stay because files have names elsewhere, too."""
    names: Counter[tuple[int, int]] = Counter()
    found: dict[tuple[int, int], os.stat_result] = {}
    for path in paths:
        for status in _files(path):
            key = (status.st_dev, status.st_ino)
            names[key] += 1
            found[key] = status
    freed = sum(status.st_size for key, status in found.items() if status.st_nlink <= names[key])
    return freed, sum(status.st_size for status in found.values()) - freed


def newest_change(path: Path) -> float:
    """Return when something in a folder was written last, in seconds since the epoch."""
    return max((status.st_mtime for status in _files(path)), default=path.lstat().st_mtime)


def bytes_text(size: int) -> str:
    """Write a size as 512 B, 4.2 kB or 128 MB."""
    if size < 1000:
        return f"{size} B"
    value, unit = size / 1000, 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if value >= 99.95 else f"{value:.1f} {UNITS[unit]}"


def _files(path: Path) -> Iterator[os.stat_result]:
    """Yield what the file system says of every regular file. What disappears meanwhile is left out."""
    if path.is_dir() and not path.is_symlink():
        for root, _, files in os.walk(path):
            for name in files:
                yield from _status(Path(root, name))
    else:
        yield from _status(path)


def _status(path: Path) -> Iterator[os.stat_result]:
    try:
        status = path.lstat()
    except OSError:
        return
    if stat.S_ISREG(status.st_mode):
        yield status
