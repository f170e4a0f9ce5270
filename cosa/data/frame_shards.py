"""Reads frames in shards: ordinary tar files in a store, each of which holds the frames of many clips.

A clip is one sample, as webdataset reads it: its frames, and last a JSON file with their digests. Its key is the digest of the
clip's content. A clip whose JSON file is complete never changes and never moves. An index beside the tar file says that the
shard is complete, and where the clips are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cosa.data.clip_list import ShardPlace
from cosa.data.frame_checks import FRAMES_AGAIN, check_frame
from cosa.data.frame_digests import ARCHIVE, FrameDigests
from cosa.data.media_files import open_media
from cosa.data.open_files import OpenFiles
from cosa.errors import DataError
from cosa.message_text import shown

if TYPE_CHECKING:
    import numpy as np

SHARDS = "shards"  # in a store, the shards of each way of extraction
INDEX = "clips.arrow"  # in the folder of a shard, as soon as it is complete


def shard_folder(store: Path, extraction: str, name: str) -> Path:
    """The folder of a shard. store and extraction: as of `StoredFrames`."""
    return store / SHARDS / extraction / name


@dataclass(frozen=True)
class ShardFrame:
    """A frame in a shard. number: of the shard among `files`. digest: of the frame. place: its first byte and its length."""

    files: OpenFrames = field(compare=False, repr=False)
    number: int
    digest: str
    place: tuple[int, int]

    @property
    def path(self) -> Path:
        """The shard."""
        return Path(self.files.paths[self.number])

    def read(self, max_pixels: int) -> np.ndarray:
        """Decode it; result and errors as of `cosa.data.pictures.read_picture`."""
        from cosa.data.pictures import check_bytes, decode_picture  # Names of files are looked up without it.

        check_bytes(self.path, self.place[1], max_pixels)
        return decode_picture(self.content(), self.path, max_pixels)

    def content(self) -> bytes:
        """Read its bytes.

        Raises:
            DataError: the shard is missing, or not what extraction wrote.
        """
        content = self.files.read(self.number, *self.place)
        check_frame(self.path, content, self.digest)
        return content


class FrameShards:
    """Shards of a store, opened when something is read of them. extraction: as of `StoredFrames`."""

    def __init__(self, store: Path, extraction: str, names: Sequence[str]) -> None:
        self.extraction = extraction
        self._numbers = {name: number for number, name in enumerate(names)}
        self._files = OpenFrames([str(shard_folder(store, extraction, name) / ARCHIVE) for name in names])

    def digests(self, place: ShardPlace, clip: str) -> FrameDigests:
        """What a shard says of a clip's frames.

        Raises:
            DataError: the shard is missing or damaged, or other frames are there.
        """
        number = self._numbers[place.shard]
        content = self._files.read(number, place.offset, place.size)
        return FrameDigests.parsed(content, Path(self._files.paths[number]), clip, self.extraction)

    def frames(self, place: ShardPlace, clip: str) -> list[ShardFrame]:
        """Frames of a clip in the order of time; errors as of `digests`."""
        digests, number = self.digests(place, clip), self._numbers[place.shard]
        return [ShardFrame(self._files, number, *one) for one in zip(digests.digests, digests.places, strict=True)]


class OpenFrames(OpenFiles):
    """Shards of frames as open files."""

    def read(self, number: int, offset: int, size: int) -> bytes:
        """As of `OpenFiles`; a size that a damaged list names takes no memory."""
        if size > _MOST_BYTES:
            raise DataError(f"{shown(self.paths[number])} is damaged; {FRAMES_AGAIN}")
        return super().read(number, offset, size)

    def _opened(self, number: int) -> int:
        with open_media(Path(self.paths[number]), "a shard of frames") as file:
            return os.dup(file.fileno())


_MOST_BYTES = 2**31  # of a frame, or of the digests of a clip
