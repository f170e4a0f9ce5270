"""Checksums of files."""

import hashlib
from pathlib import Path

import xxhash


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(path: Path) -> str:
    """Hexadecimal XXH3 (128 bits) of a file's content, which finds damage and mix-ups as fast as files are read.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
