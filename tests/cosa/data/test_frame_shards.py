"""Shards of frames as readers see them."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cosa.errors import DataError
from tests.cosa.data.sharded import STORE_PARTS, complete, contents, frames_of


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tmp_path.joinpath(*STORE_PARTS)


def test_others_read_it_as_tar_and_webdataset(shards: Path) -> None:
    webdataset: Any = pytest.importorskip("webdataset")
    path = complete(shards, "aa", "bb")
    found = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in found] == ["aa", "bb"]
    assert [found[1][f"{number:04d}.jpg"] for number in (1, 2, 3)] == frames_of("bb")
    assert json.loads(found[1]["json"])["clip"] == "bb"
    with tarfile.open(path) as archive:
        assert archive.getnames()[:5] == ["aa.0001.jpg", "aa.0002.jpg", "aa.0003.jpg", "aa.json", "bb.0001.jpg"]
    assert path.stat().st_size % tarfile.RECORDSIZE == 0


def test_a_damaged_frame_of_a_complete_shard_is_noticed(shards: Path) -> None:
    path = complete(shards, "aa")
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"frames\.tar is not the frame that extraction wrote; make the frames again"):
        contents(shards, "aa")
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"frames\.tar is damaged; make the frames again"):
        contents(shards, "aa")
    path.unlink()
    with pytest.raises(DataError, match=r"frames\.tar is missing or not a file; expected a shard of frames"):
        contents(shards, "aa")
