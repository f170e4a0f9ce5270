"""A bucket (s3://BUCKET/...): which files there are, and their content."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from cosa.data.shards.paths import without_options
from cosa.errors import UserError
from cosa.message_text import shown

CHUNK = 2**22  # bytes that are fetched at once


def listed(address: str) -> dict[str, tuple[int, str]]:
    """Sizes and versions of the files in the folder of an address, by name; a version is the time of its last change.

    Raises:
        UserError: the bucket cannot be read.
    """
    from pyarrow.fs import FileSelector, FileType

    filesystem, path = _opened(address)
    folder = path.rpartition("/")[0]
    try:
        found = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    except OSError as error:
        raise UserError(f"{shown(without_options(address))}: its bucket cannot be read ({reason(error)})") from error
    return {one.base_name: (one.size, str(one.mtime_ns)) for one in found if one.type == FileType.File}


def matching(pattern: str) -> list[str]:
    """The addresses of files whose names fit a wildcard in the last part of an address, sorted."""
    place, question, options = pattern.partition("?")
    folder, _, wildcard = place.rpartition("/")
    return [f"{folder}/{name}{question}{options}" for name in sorted(listed(pattern)) if fnmatchcase(name, wildcard)]


def states(addresses: Sequence[str]) -> list[tuple[int, str] | None]:
    """Sizes and versions of files; None for one that does not exist. Each folder is listed once."""
    folders: dict[str, dict[str, tuple[int, str]]] = {}
    found = []
    for address in addresses:
        place, _, options = address.partition("?")
        folder, _, name = place.rpartition("/")
        if (key := f"{folder}?{options}") not in folders:
            folders[key] = listed(address)
        found.append(folders[key].get(name))
    return found


def fetch(address: str, target: Path) -> None:
    """Write the content of a file to a local one.

    Raises:
        OSError: the bucket, or the disk, fails.
    """
    filesystem, path = _opened(address)
    with filesystem.open_input_stream(path) as source, target.open("wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)


def reason(error: Exception) -> str:
    """What is wrong, in the words of the bucket's server or of the system."""
    return str(error).strip().splitlines()[-1].rpartition("Details: ")[2][:200]


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    place, _, options = address.partition("?")
    bucket, _, path = place.removeprefix("s3://").partition("/")
    return _filesystem(os.getpid(), bucket, options), f"{bucket}/{path}"


@lru_cache(maxsize=16)
def _filesystem(process: int, bucket: str, options: str) -> Any:
    """A file system of this process alone: the threads behind it are not there in a forked one."""
    del process
    from pyarrow.fs import FileSystem

    try:
        return FileSystem.from_uri(f"s3://{bucket}" + (f"?{options}" if options else ""))[0]
    except (OSError, ValueError) as error:
        raise UserError(f"s3://{bucket} cannot be opened ({reason(error)})") from error
