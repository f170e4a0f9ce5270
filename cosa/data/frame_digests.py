"""Lists the frames that extraction wrote for a clip, with a digest of each, so that a reader notices any others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cosa.data.frame_checks import FRAMES_AGAIN
from cosa.data.media_files import PictureFile, open_media
from cosa.errors import DataError
from cosa.message_text import shown

DIGESTS_FILE = "digests.json"
ARCHIVE = "frames.tar"
FRAME_NAME = re.compile(r"frame_(\d+)\.jpg")


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
        (folder / DIGESTS_FILE).write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        """What `parsed` reads."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "places" or value})

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
        return cls.parsed(content, path, clip, extraction)

    @classmethod
    def parsed(cls, content: bytes, path: Path, clip: str, extraction: str) -> FrameDigests:
        """Read what a file says. path: of it, for messages.

        Raises:
            DataError: it is damaged, or belongs to another clip or another extraction.
        """
        found = cls.parsed_of_any(content, path)
        if (found.clip, found.extraction) != (clip, extraction):
            raise DataError(
                f"{shown(path.parent)} holds frames of clip {shown(found.clip)} that extraction {shown(found.extraction)} "
                f"made, expected clip {shown(clip)} and extraction {extraction}; {FRAMES_AGAIN}"
            )
        return found

    @classmethod
    def parsed_of_any(cls, content: bytes, path: Path) -> FrameDigests:
        """Read what a file says, of whichever clip; arguments and errors as of `parsed`."""
        try:
            found = cls(**json.loads(content))
            digests, record = [str(digest) for digest in found.digests], dict(found.record)
            places = [(int(start), int(size)) for start, size in found.places]
            if places and (len(places) != len(digests) or min(map(min, places)) < 0):
                raise ValueError("places that cannot be")
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{shown(path)} is damaged; {FRAMES_AGAIN}") from error
        return cls(found.clip, found.extraction, digests, record, places)

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
        for file in self.files(folder):
            file.content()


def frame_name(number: int) -> str:
    """Return the file name of a frame. number: from 1."""
    return f"frame_{number:04d}.jpg"
