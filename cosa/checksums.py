"""Checksums of files, and of folders that carry those of their files."""

import hashlib
import json
import os
from pathlib import Path

import xxhash

from cosa.errors import UserError

CHECKSUMS = "checksums.json"


class DamagedFolderError(UserError):
    """Files of a folder are missing or not as they were written."""


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


def write_checksums(folder: Path) -> None:
    """Write SHA-256 checksums of a folder's files into it, by name.

    Raises:
        OSError: a file cannot be read, or the disk is full.
    """
    sums = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def check_checksums(folder: Path) -> None:
    """Read all files of a checkpoint's folder, and compare them with its checksums.

    Raises:
        DamagedFolderError: something is missing or differs from what was written.
    """
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        bad = [name for name, expected in sums.items() if sha256_of(folder / name) != expected]
    except (OSError, ValueError, AttributeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise DamagedFolderError(f"checkpoint {folder} is incomplete ({reason})") from error
    if bad:
        raise DamagedFolderError(f"checkpoint {folder} is damaged: {', '.join(bad)} differs from what was written")
