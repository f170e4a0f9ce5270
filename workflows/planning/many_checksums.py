"""Digests many large files, several at once, and reports progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

READERS = 8  # Many files are read at once; a disk far away answers several in the time of one.
OnRead = Callable[[Path, int, int], None]  # gets a folder, the bytes of it that have been read, and all that are to be read


def checksums_of(paths: Sequence[Path], checksum: Callable[[Path], str], on_read: OnRead | None) -> list[str]:
    """Return the digest of each file, as `checksum` computes it."""
    if not paths:
        return []
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    total = sum(sizes)
    found, done = [checksum(paths[0])], sizes[0]  # What is known of files is read by one thread.
    with ThreadPoolExecutor(READERS) as pool:
        for path, size, digest in zip(paths[1:], sizes[1:], pool.map(checksum, paths[1:]), strict=True):
            found.append(digest)
            done += size
            if on_read is not None:
                on_read(path.parent, done, total)
    return found
