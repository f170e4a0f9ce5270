"""Reads and writes the folder of a Ray Train run, on a file system that this machine mounts or on S3."""

from __future__ import annotations

import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem, copy_files

from workflows.results.atomic import flush, rename_durably

WRITING = "writing"  # It holds a checkpoint until it is complete; a killed run leaves it, and the next run replaces it.


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. path: inside the file system, without its scheme and options."""

    filesystem: Any
    path: str

    @classmethod
    def at(cls, storage: Path | str, name: str = "") -> RunFolder:
        """Return the folder of a run in Ray's storage path, which is an absolute path or s3://BUCKET/PREFIX?OPTIONS."""
        filesystem, path = FileSystem.from_uri(str(storage))
        return cls(filesystem, posixpath.join(path, name).rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Return whether its files can be opened by path."""
        return isinstance(self.filesystem, LocalFileSystem)

    def address(self, name: str) -> str:
        """Say where something in the folder is, for messages."""
        path = posixpath.join(self.path, name)
        return path if self.is_local else f"s3://{path}"

    def names(self) -> list[str]:
        """Return names of all folders in it; none if it does not exist yet."""
        infos = self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=True))
        return [info.base_name for info in infos if info.type == FileType.Directory]

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """Yield a folder in it as a folder of this machine: in place, or downloaded for as long as it is used."""
        source = posixpath.join(self.path, name)
        if self.is_local:
            yield Path(source)
            return
        with tempfile.TemporaryDirectory(prefix="cosa-checkpoint-") as temporary:
            # On an error some threads of pyarrow may still write, since it does not wait for them; the removal survives that.
            copy_files(source, temporary, source_filesystem=self.filesystem, chunk_size=64 * 2**20)
            yield Path(temporary)

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Yield an empty folder of this machine for what `put` is to place here; it is removed afterwards."""
        if not self.is_local:
            with tempfile.TemporaryDirectory(prefix="cosa-checkpoint-") as temporary:
                yield Path(temporary)
            return
        folder = Path(self.path, WRITING)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, folder: Path, name: str, check: Callable[[Path, str], None]) -> None:
        """Place a folder from `writing` here. `check` reads it back from where it is stored, so a damaged one never counts.

        check: gets the folder to read, and the address to report it by; raises OSError if it is damaged.

        On a mounted file system the folder gets its name only after the check. On S3, where nothing can be renamed, `check`
        reads what was uploaded under its name.
        """
        if not self.is_local:
            address = posixpath.join(self.path, name)
            self.filesystem.create_dir(address)
            copy_files(str(folder), address, destination_filesystem=self.filesystem)
            with self.opened(name) as uploaded:
                check(uploaded, self.address(name))
            return
        for path in (*folder.iterdir(), folder):
            flush(path, from_memory=True)
        check(folder, self.address(name))
        target = Path(self.path, name)
        shutil.rmtree(target, ignore_errors=True)  # A repeated step replaces its earlier checkpoint.
        rename_durably(folder, target)
