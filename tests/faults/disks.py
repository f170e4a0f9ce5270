"""File systems of their own, which can be full, lose their power, or refuse to be written. Only root can mount them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = "512m"  # of the file system that is filled
IMAGE_BYTES = 2 * 2**30  # of the one that loses its power; the file has holes


def _do(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


@contextmanager
def memory_disk(folder: Path) -> Iterator[None]:
    """A small file system in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    _do("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder)
    try:
        yield
    finally:
        _do("umount", "--lazy", folder)


@dataclass
class Disk:
    """An ext4 file system in an image, mounted in a folder. What was not flushed to the image is lost with the power."""

    folder: Path

    @property
    def image(self) -> Path:
        """Where its blocks are."""
        return self.folder.with_name(f"{self.folder.name}.image")

    @classmethod
    @contextmanager
    def mounted(cls, folder: Path) -> Iterator[Disk]:
        """A new one, for as long as it is used."""
        disk = cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with disk.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _do("mkfs.ext4", "-q", "-F", disk.image)
        disk._mount()
        try:
            yield disk
        finally:
            _do("umount", "--lazy", folder)
            disk.image.unlink()

    def _mount(self) -> None:
        _do("mount", "-o", "loop,errors=remount-ro", self.image, self.folder)

    def _unmount(self) -> None:
        for _ in range(100):
            if subprocess.run(["umount", str(self.folder)], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.2)
        raise AssertionError(f"{self.folder} is still in use")

    def blocks_now(self) -> Path:
        """A copy of what has reached the image: what the disk holds if the power fails at this moment.

        Whoever writes has to be stopped meanwhile.
        """
        copy = self.image.with_suffix(".after")
        _do("cp", "--sparse=always", self.image, copy)
        return copy

    def come_back_with(self, blocks: Path) -> None:
        """Mount these blocks in the same folder. Nobody may have a file open in it."""
        self._unmount()
        shutil.move(blocks, self.image)
        self._mount()

    def fail(self) -> None:
        """Have the kernel find an error: from now on the file system refuses to be written."""
        device = subprocess.run(["findmnt", "-no", "SOURCE", self.folder], check=True, capture_output=True, text=True).stdout
        Path("/sys/fs/ext4", Path(device.strip()).name, "trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """Check the file system and mount it again. Nobody may have a file open in it."""
        self._unmount()
        subprocess.run(["e2fsck", "-p", "-f", str(self.image)], capture_output=True, check=False)  # 1: something was mended
        self._mount()
