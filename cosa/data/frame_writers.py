"""Writes the frames of a clip: each to a file of its own, or all to an archive, so that millions of clips need fewer files."""

from __future__ import annotations

import tarfile
from abc import ABC, abstractmethod
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

from cosa.data.frame_digests import ARCHIVE, digest_of_frame, frame_name


class FrameWriter(ABC):
    """Writes frames in the order of time. digests, places: as of `FrameDigests`. bytes: of all frames."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests: list[str] = []
        self.places: list[tuple[int, int]] = []
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def write(self, content: bytes) -> None:
        """Write a frame, the content of a JPEG file."""
        self.digests.append(digest_of_frame(content))
        self.bytes += len(content)
        self._write(frame_name(len(self.digests)), content)

    @abstractmethod
    def close(self) -> None:
        """End what was written."""

    @abstractmethod
    def _write(self, name: str, content: bytes) -> None:
        """Write a frame under its name."""


class FrameFiles(FrameWriter):
    """Writes `folder/frame_0001.jpg` and so on."""

    def close(self) -> None:
        """Do nothing: every file is complete."""

    def _write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)


class FrameArchive(FrameWriter):
    """Writes `folder/frames.tar`, an ordinary archive: the same frames give the same bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._archive = tarfile.open(folder / ARCHIVE, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  closed by `close`

    def close(self) -> None:
        """End the archive."""
        self._archive.close()

    def _write(self, name: str, content: bytes) -> None:
        about = tarfile.TarInfo(name)
        about.size = len(content)
        self.places.append((self._archive.offset + tarfile.BLOCKSIZE, len(content)))
        self._archive.addfile(about, BytesIO(content))
