"""Opens annotation files, compressed or not: what compressed them is known by their first bytes, and bombs are refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cosa.data.media_files import open_media
from cosa.errors import DataError
from cosa.message_text import shown

MOST_EXPANSION = 200  # Captions shrink to a third or a tenth; what shrinks to less than this was made to fill a disk,
HARMLESS = 2**28  # unless it has no more bytes than these.
BUFFER = 2**20
EXPECTED = "a JSON list of entries, or a table"


def _zstandard(file: BinaryIO) -> BinaryIO:
    import pyarrow as pa

    opened: BinaryIO = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return opened


class Compression(NamedTuple):
    """A way to compress files. begins: their first bytes. opened: makes a stream of the content of a file."""

    name: str
    suffixes: tuple[str, ...]
    begins: bytes
    opened: Callable[[BinaryIO], Any]


COMPRESSIONS = (
    Compression("gzip", (".gz",), b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    Compression("bzip2", (".bz2",), b"BZh", bz2.BZ2File),
    Compression("xz", (".xz",), b"\xfd7zXZ\x00", lzma.LZMAFile),
    Compression("zstandard", (".zst",), b"\x28\xb5\x2f\xfd", _zstandard),
)
LONGEST_BEGIN = max(len(one.begins) for one in COMPRESSIONS)
_DAMAGE = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)  # pyarrow's errors are OSError and ValueError


def compression_in(start: bytes) -> Compression | None:
    """What a file of these first bytes is compressed with, if it is. start: `LONGEST_BEGIN` bytes, or all of a smaller file."""
    return next((one for one in COMPRESSIONS if start.startswith(one.begins)), None)


def compression_of(path: Path) -> Compression | None:
    """What an annotation file is compressed with, if it is.

    Raises:
        DataError: it cannot be read.
    """
    with open_media(path, EXPECTED) as file:
        return compression_in(file.read(LONGEST_BEGIN))


def plain_suffix(path: Path) -> str:
    """The suffix of an annotation file in lower case, without that of a compression: '.csv' of 'train.csv.gz'."""
    endings = {suffix for one in COMPRESSIONS for suffix in one.suffixes}
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in endings), "")


def open_annotations(path: Path) -> BinaryIO:
    """Open the content of an annotation file, from which it is read once, from its beginning to its end.

    Raises:
        DataError: it cannot be read; also later, where the content is damaged, or far too large for what it was compressed to.
    """
    compression = compression_of(path)
    file = open_media(path, EXPECTED)
    if compression is None:
        return file
    most = max(HARMLESS, MOST_EXPANSION * path.stat().st_size)
    return BufferedReader(_Expanded(path, compression, file, most), BUFFER)


class _Expanded(RawIOBase):
    """What a compressed file holds, up to so many bytes."""

    def __init__(self, path: Path, compression: Compression, file: BinaryIO, most: int):
        self._path, self._compression, self._most = path, compression, most
        self._file = file
        self._left = most
        self._content: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            if self._content is None:
                self._content = self._compression.opened(self._file)
            part = self._content.read(len(buffer))
        except _DAMAGE as error:
            raise DataError(
                f"{shown(self._path)} is damaged: its {self._compression.name} content ends early or is none "
                f"({type(error).__name__}); copy it again"
            ) from error
        self._left -= len(part)
        if self._left < 0:
            raise DataError(
                f"{shown(self._path)} expands to more than {self._most} bytes, over {MOST_EXPANSION} times its size, which "
                "annotations do not; if they are right, decompress the file yourself"
            )
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            if self._content is not None:
                self._content.close()
            self._file.close()
        super().close()
