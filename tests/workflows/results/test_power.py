"""What a loss of power leaves of results: a copy of the disk's blocks, taken at once, is mounted in the place of the disk."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disks import Disk
from tests.workflows.results.test_storage import made
from workflows.results.atomic import write_atomically
from workflows.results.layout import RAY_FOLDER
from workflows.results.storage import Storage


def _can_mount() -> bool:
    return os.geteuid() == 0 and shutil.which("mkfs.ext4") is not None and Path("/dev/loop-control").exists()


pytestmark = pytest.mark.skipif(not _can_mount(), reason="only root can mount the disk that loses its power")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        with Disk.mounted(tmp_path / "disk") as disk:
            yield disk
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine mounts no images: {error.stderr.decode().strip()}")


def test_what_was_not_flushed_is_lost(disk: Disk) -> None:
    """Otherwise the tests below would prove nothing."""
    (disk.folder / "file").write_text("content")
    disk.come_back_with(disk.blocks_now())
    assert not (disk.folder / "file").exists()


def test_a_published_result_is_there_whatever_the_moment(disk: Disk) -> None:
    """And what it was made from may go only then."""
    storage = Storage(disk.folder / "storage", "demo")
    for number, fingerprint in enumerate(("abc", "def", "ghi")):
        folder = made(storage, "tune", fingerprint, content=os.urandom(2_000_000))
        shutil.rmtree(folder / RAY_FOLDER)
        disk.come_back_with(disk.blocks_now())
        for earlier in ("abc", "def", "ghi")[: number + 1]:
            assert storage.result("tune", earlier).is_dir()
            assert storage.damage_of("tune", storage.result("tune", earlier), read_all=True) is None


def test_a_forced_result_is_the_old_one_or_the_new_one(disk: Disk) -> None:
    storage = Storage(disk.folder / "storage", "demo")
    made(storage, "tune", "abc", content=b"old")
    storage.start_over("tune", "abc")
    made(storage, "tune", "abc", content=b"new")
    disk.come_back_with(disk.blocks_now())
    assert storage.damage_of("tune", storage.result("tune", "abc"), read_all=True) is None
    assert (storage.result("tune", "abc") / "checkpoint" / "model.safetensors").read_bytes() == b"new"


def test_a_file_that_is_replaced_has_the_old_or_the_new_content(disk: Disk) -> None:
    for text in ("old", "new"):
        write_atomically(disk.folder / "file", text)
        disk.come_back_with(disk.blocks_now())
        assert (disk.folder / "file").read_text() == text
