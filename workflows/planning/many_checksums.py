"""Digests many large files, several at once, and says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

READERS = 8


def checksums_of(
    paths: Sequence[Path], checksum: Callable[[Path], str], on_read: Callable[[Path, int, int], None] | None
) -> list[str]:
    """Return the digest of each file. on_read: called with a folder, the bytes that are done, and all."""
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
