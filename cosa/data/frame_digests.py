"""Lists the frames that extraction wrote for a clip, with a digest of each, so that a reader notices any others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from cosa.data.media_files import PictureFile, open_media
from cosa.errors import DataError
from cosa.message_text import shown

DIGESTS_FILE = "digests.json"
ARCHIVE = "frames.tar"
FRAME_NAME = re.compile(r"frame_(\d+)\.jpg")
FRAMES_AGAIN = "make the frames again with --force and the name of the extract stage"


@dataclass(frozen=True)
class FrameDigests:
    """Digests of a clip's frames, in the order of time.

    clip: digest of its content. extraction: what names the way in which they were extracted. digests: of the files, XXH3 of
    64 bits, hexadecimal. record: what else is known of the clip. places: of the frames in an archive, first byte and number of
    bytes; empty where each is a file.
    """

    clip: str
    extraction: str
    digests: Sequence[str]
    record: Mapping[str, Any] = field(default_factory=dict)
    places: Sequence[tuple[int, int]] = ()

    def write(self, folder: Path) -> None:
        """Write the list beside the frames."""
        fields = {name: value for name, value in asdict(self).items() if name != "places" or value}
        (folder / DIGESTS_FILE).write_text(json.dumps(fields), encoding="utf-8")

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
            digests, record = [str(digest) for digest in found.digests], dict(found.record)
            places = [(int(start), int(size)) for start, size in found.places]
            if places and (len(places) != len(digests) or min(map(min, places)) < 0):
                raise ValueError("places that cannot be")
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{shown(path)} is damaged; {FRAMES_AGAIN}") from error
        if (found.clip, found.extraction) != (clip, extraction):
            raise DataError(
                f"{shown(folder)} holds frames of clip {shown(found.clip)} that extraction {shown(found.extraction)} made, "
                f"expected clip {shown(clip)} and extraction {extraction}; {FRAMES_AGAIN}"
            )
        return cls(clip, extraction, digests, record, places)

    def files(self, folder: Path) -> list[PictureFile]:
        """The frames in the order of time."""
        if self.places:
            archive = folder / ARCHIVE
            return [PictureFile(archive, *one) for one in zip(self.digests, self.places, strict=True)]
        return [PictureFile(folder / frame_name(number), digest) for number, digest in enumerate(self.digests, start=1)]

    def check_all(self, folder: Path) -> None:
        """Read all frames through.

        Raises:
            DataError: one is gone, cannot be read, or is not what extraction wrote.
        """
        for path, digest, place in self.files(folder):
            with open_media(path, "a frame") as file:
                file.seek(place[0] if place is not None else 0)
                check_frame(path, file.read(place[1] if place is not None else -1), digest)


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
