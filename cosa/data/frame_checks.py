"""Digests of single frames, by which a reader notices any others than extraction wrote."""

from __future__ import annotations

from pathlib import Path

import xxhash

from cosa.errors import DataError
from cosa.message_text import shown

FRAMES_AGAIN = "make the frames again with --force and the name of the extract stage"


def digest_of_frame(content: bytes) -> str:
    """Return the digest of a frame's file."""
    return xxhash.xxh3_64_hexdigest(content)


def check_frame(path: Path, content: bytes, digest: str) -> None:
    """Compare what was read of a frame with what was written.

    Raises:
        DataError: it is something else.
    """
    if digest_of_frame(content) != digest:
        raise DataError(f"{shown(path)} is not the frame that extraction wrote; {FRAMES_AGAIN}")
