"""Writes the frames of a clip: each to a file of its own, all to an archive, or to a shard that holds many clips."""

from __future__ import annotations

import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from cosa.data.frame_checks import digest_of_frame
from cosa.data.frame_digests import ARCHIVE, FrameDigests, frame_name
from cosa.data.shard_writing import ShardWriter


class FrameWriter(ABC):
    """Writes frames in the order of time. digests, places: as of `FrameDigests`. bytes: of all frames."""

    def __init__(self) -> None:
        self.digests: list[str] = []
        self.places: list[tuple[int, int]] = []
        self.bytes = 0

    def write(self, content: bytes) -> None:
        """Write a frame, the content of a JPEG file."""
        self.digests.append(digest_of_frame(content))
        self.bytes += len(content)
        self._write(len(self.digests), content)

    def complete(self, clip: str, extraction: str, record: Mapping[str, Any]) -> None:
        """End what was written with the digests of the frames. clip, extraction, record: as of `FrameDigests`."""
        self._complete(FrameDigests(clip, extraction, self.digests, record, self.places))

    @abstractmethod
    def discard(self) -> None:
        """Remove what was written."""

    @abstractmethod
    def _write(self, number: int, content: bytes) -> None:
        """Write a frame. number: from 1."""

    @abstractmethod
    def _complete(self, digests: FrameDigests) -> None:
        """Write the digests."""


class FrameFiles(FrameWriter):
    """Writes `folder/frame_0001.jpg` and so on."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, number: int, content: bytes) -> None:
        (self.folder / frame_name(number)).write_bytes(content)

    def _complete(self, digests: FrameDigests) -> None:
        digests.write(self.folder)


class FrameArchive(FrameFiles):
    """Writes `folder/frames.tar`, an ordinary archive: the same frames give the same bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._archive = tarfile.open(folder / ARCHIVE, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  closed when it ends

    def discard(self) -> None:
        """Remove the folder."""
        with suppress(OSError):  # The disk may be full; the folder goes.
            self._archive.close()
        super().discard()

    def _write(self, number: int, content: bytes) -> None:
        about = tarfile.TarInfo(frame_name(number))
        about.size = len(content)
        self.places.append((self._archive.offset + tarfile.BLOCKSIZE, len(content)))
        self._archive.addfile(about, BytesIO(content))

    def _complete(self, digests: FrameDigests) -> None:
        self._archive.close()
        super()._complete(digests)


class ShardFrames(FrameWriter):
    """Appends a clip to a shard, as members `<clip>.0001.jpg` and so on, and last `<clip>.json`."""

    def __init__(self, shard: ShardWriter, clip: str) -> None:
        super().__init__()
        self.shard, self.clip = shard, clip

    def discard(self) -> None:
        """Cut the shard off behind the clip before."""
        self.shard.cut()

    def _write(self, number: int, content: bytes) -> None:
        self.places.append(self.shard.append(f"{self.clip}.{number:04d}.jpg", content))

    def _complete(self, digests: FrameDigests) -> None:
        self.shard.end_clip(self.clip, digests.text().encode())


# By the output of an extract stage: what writes the frames of a clip that has a folder of its own.
FOLDER_WRITERS: Mapping[str, Callable[[Path], FrameWriter]] = {"files": FrameFiles, "tar": FrameArchive, "shards": FrameArchive}
