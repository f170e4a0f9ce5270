"""Lists the frames that extraction wrote for a clip, with a digest of each, so that a reader notices any others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from cosa.data.media_files import open_media
from cosa.errors import DataError
from cosa.message_text import shown

DIGESTS_FILE = "digests.json"
FRAMES_AGAIN = "make the frames again with --force and the name of the extract stage"


@dataclass(frozen=True)
class FrameDigests:
    """Digests of a clip's frames, in the order of time.

    clip: its id. extraction: what names the extraction that made them, such as its fingerprint. digests: of the files, XXH3
    of 64 bits, hexadecimal.
    """

    clip: str
    extraction: str
    digests: Sequence[str]

    def write(self, folder: Path) -> None:
        """Write the list beside the frames."""
        content = {"clip": self.clip, "extraction": self.extraction, "digests": self.digests}
        (folder / DIGESTS_FILE).write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, clip: str, extraction: str) -> FrameDigests:
        """Read the list of a clip's folder.

        Raises:
            DataError: there is none, it is damaged, or it belongs to another clip or another extraction.
        """
        path = folder / DIGESTS_FILE
        if not path.exists():
            raise DataError(f"{shown(folder)} has no {DIGESTS_FILE}, which extraction wrote; {FRAMES_AGAIN}")
        with open_media(path, "the digests of a clip's frames") as file:
            content = file.read()
        try:
            found = cls(**json.loads(content))
            digests = [str(digest) for digest in found.digests]
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{shown(path)} is damaged; {FRAMES_AGAIN}") from error
        if (found.clip, found.extraction) != (clip, extraction):
            raise DataError(
                f"{shown(folder)} holds frames of clip {shown(found.clip)} that extraction {shown(found.extraction)} made, "
                f"expected clip {shown(clip)} and extraction {extraction}; {FRAMES_AGAIN}"
            )
        return cls(clip, extraction, digests)

    def check_all(self, folder: Path) -> None:
        """Read all frames through.

        Raises:
            DataError: one is gone, cannot be read, or is not what extraction wrote.
        """
        for number, digest in enumerate(self.digests, start=1):
            path = folder / frame_name(number)
            with open_media(path, "a frame") as file:
                check_frame(path, file.read(), digest)


def frame_name(number: int) -> str:
    """Return the file name of a frame. number: from 1."""
    return f"frame_{number:04d}.jpg"


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


def damage_of_frames(root: Path, clips: Iterable[str], extraction: str) -> str | None:
    """Read all frames of some clips through, and say what is wrong with the first that is damaged; None if none is.

    root: folder of all clips' frames.
    """
    for clip in clips:
        folder = root / clip
        try:
            FrameDigests.read(folder, clip, extraction).check_all(folder)
        except (DataError, OSError) as error:
            return str(error).removesuffix(f"; {FRAMES_AGAIN}").replace(f"{root}{os.sep}", "")
    return None
