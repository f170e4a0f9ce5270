"""Where the bytes of a video are: in a file of its own, or elsewhere. What reads videos asks it, and need not know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash

from cosa.checksums import digest_of
from cosa.data.clip_errors import NoMediaError
from cosa.data.media_files import open_media
from cosa.data.video_index import VideoIndex


class VideoSource(Protocol):
    """The bytes of a video."""

    @property
    def path(self) -> Path:
        """How messages name it."""
        ...

    def open(self) -> BinaryIO:
        """Open it to read its bytes.

        Raises:
            DataError: it is missing, or cannot be read.
        """
        ...

    def for_decoder(self) -> str | BinaryIO:
        """What decoders open."""
        ...

    def fetch(self) -> None:
        """Have its bytes on this machine, so that this does not count as decoding; errors as of `open`."""
        ...

    def state(self) -> tuple[object, ...]:
        """What names the content without reading it: it is different after a change."""
        ...

    def digest(self) -> str:
        """Hexadecimal XXH3 (128 bits) of the content; errors as of `open`."""
        ...


class Videos(Protocol):
    """The videos of a dataset. what and mend: how a message names what is missing, and what to do then."""

    what: str
    mend: str

    @property
    def root(self) -> Path:
        """Where all of them are."""
        ...

    def find(self, video_id: str) -> VideoSource:
        """One video. Raises DataError: there is none of this identifier."""
        ...

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """What is not there, by the names of files alone."""
        ...


@dataclass(frozen=True)
class VideoFile:
    """A video that is a file of its own."""

    path: Path

    def open(self) -> BinaryIO:
        """Open the file; errors as of `open_media`."""
        return open_media(self.path, "a video")

    def for_decoder(self) -> str:
        """Its path."""
        return str(self.path.absolute())

    def fetch(self) -> None:
        """Nothing: it is here."""

    def state(self) -> tuple[object, ...]:
        """Its path, and what is different after a change; only the path of one that is no file."""
        try:
            about = self.path.stat()
        except OSError:  # It is reported where the file is read.
            return (str(self.path.absolute()),)
        return str(self.path.absolute()), about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns

    def digest(self) -> str:
        """As of `digest_of`."""
        return digest_of(self.path)


class NamedBytes(BytesIO):
    """Bytes as a file with a name, by whose suffix FFmpeg decides where the content leaves a doubt, as it does for files."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


@dataclass(frozen=True)
class VideoBytes:
    """A video in memory. path: how messages name it. suffix: of its file name, without the dot."""

    path: Path
    suffix: str
    content: bytes

    def open(self) -> BinaryIO:
        """Its bytes."""
        return NamedBytes(self.content, f"video.{self.suffix}")

    def for_decoder(self) -> BinaryIO:
        """Its bytes."""
        return self.open()

    def fetch(self) -> None:
        """Nothing: it is here."""

    def state(self) -> tuple[object, ...]:
        """Its digest."""
        return (self.digest(),)

    def digest(self) -> str:
        """As of `VideoSource`."""
        return xxhash.xxh3_128_hexdigest(self.content)


class VideoFolder:
    """The videos below a folder, found as `VideoIndex` says."""

    what = "clips"
    mend = "provide them, or remove their annotations"

    def __init__(self, root: Path, linked_folders: Iterable[Path | str] = ()) -> None:
        self.root = root
        self._index = VideoIndex(root, linked_folders)

    def find(self, video_id: str) -> VideoFile:
        """The file of a clip; errors as of `VideoIndex.find`."""
        return VideoFile(self._index.find(video_id))

    def missing(self, video_ids: Iterable[str]) -> list[str]:
        """The clips that have no file, each once."""
        return [video_id for video_id in dict.fromkeys(video_ids) if not self._has(video_id)]

    def _has(self, video_id: str) -> bool:
        try:
            self._index.find(video_id)
        except NoMediaError:
            return False
        return True
