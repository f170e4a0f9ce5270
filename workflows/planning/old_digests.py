"""Computes digests as they were before all of a medium was read: results that were made then are still found by them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from workflows.planning.digests import FileDigests

SAMPLE = 64 * 2**10


class OldDigests:
    """Digests of clips by their sizes and three samples of each, and of pictures by the path of their folder."""

    def __init__(self, files: FileDigests):
        """files: digests of single files, which are the same as then."""
        self._files = files

    def of_file(self, path: Path) -> str:
        """Digest a file's content."""
        return self._files.of_file(path)

    def of_folder(self, folder: Path) -> str:
        """Digest all files below a folder of clips: names, sizes and three samples of each."""
        total = hashlib.sha256()
        for root, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                path = Path(root) / name
                total.update(f"{path.relative_to(folder)}\0{_sampled(path)}\0".encode())
        return total.hexdigest()

    def of_pictures(self, folder: Path) -> str:
        """Return what stood for a folder of images or frames."""
        return f"folder {folder.absolute()}"


def _sampled(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for start in (0, max(0, (size - SAMPLE) // 2), max(0, size - SAMPLE)):
            file.seek(start)
            digest.update(file.read(SAMPLE))
    return digest.hexdigest()
