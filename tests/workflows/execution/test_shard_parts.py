"""Parts of indexes: found by content and by how a shard was read, and only as they were written."""

import errno
import time
from pathlib import Path

import pytest

from cosa.data.shards.clip_trial import ClipTrial
from cosa.data.shards.scan import Scanning, scan_shard
from tests.cosa.data.shards.made import sample, write_tar
from workflows.execution import shard_parts
from workflows.execution.shard_parts import ABOUT, ROWS, ShardParts

IMAGE = Scanning("image")


@pytest.fixture
def shard(tmp_path: Path) -> str:
    return str(write_tar(tmp_path / "a.tar", [*sample("a", 1), ("b.txt", b"no picture"), *sample("c", 2)]))


def test_a_part_is_what_was_scanned(tmp_path: Path, shard: str) -> None:
    parts, scanned = ShardParts(tmp_path / "parts", IMAGE, 1), scan_shard(shard, IMAGE)
    (name,) = parts.names([shard], ["digest"])
    assert not parts.has(name)
    for _ in range(2):  # A second one takes the place of the first.
        parts.write(name, scanned)
        assert parts.has(name)
        found = parts.read(name)
        assert found.samples.equals(scanned.samples)
        assert (found.size, found.version, found.broken) == (scanned.size, scanned.version, scanned.broken)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [name]


def test_a_part_that_is_replaced_at_this_moment_is_read(tmp_path: Path, shard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, scanned = ShardParts(tmp_path / "parts", IMAGE, 1), scan_shard(shard, IMAGE)
    parts.write("part", scanned)
    aside = (tmp_path / "parts" / "part").rename(tmp_path / "aside")
    monkeypatch.setattr(time, "sleep", lambda _: aside.rename(tmp_path / "parts" / "part"))
    assert parts.read("part").samples.equals(scanned.samples)


@pytest.mark.parametrize("file, content", [(ROWS, b"ARROW1"), (ABOUT, b"{"), (ABOUT, b"[]")])
def test_a_damaged_part_is_none(tmp_path: Path, shard: str, file: str, content: bytes) -> None:
    parts = ShardParts(tmp_path / "parts", IMAGE, 1)
    (name,) = parts.names([shard], ["digest"])
    parts.write(name, scan_shard(shard, IMAGE))
    (tmp_path / "parts" / name / file).write_bytes(content)
    assert not parts.has(name)
    parts.write(name, scan_shard(shard, IMAGE))
    assert parts.has(name)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [name]


def test_names_follow_from_contents_and_from_how_shards_are_read(tmp_path: Path) -> None:
    ways = [
        ShardParts(tmp_path, scanning, version)
        for scanning, version in (
            (IMAGE, 1), (IMAGE, 2), (Scanning("image", "json.caption"), 1), (Scanning("video"), 1),
            (Scanning("image", max_pixels=5), 1), (Scanning("video", clips=ClipTrial(5, 6.0, 7.0)), 1),
            (Scanning("video", clips=ClipTrial(5, 6.0, 8.0)), 1),
        )
    ]  # fmt: skip
    assert len({way.names(["a.tar"], ["x"])[0] for way in ways}) == len(ways)
    first = ways[0].names(["a.tar", "b.tar", "c.tar"], ["x", "x", "y"])
    assert first[0] == first[1] != first[2]  # whatever they are called
    of_bucket = ways[0].names(["s3://b/a.tar", "s3://b/c.tar"], ["(5, '7')", "(5, '7')"])
    assert of_bucket[0] != of_bucket[1]  # Size and time say little of what is in them.


def test_a_disk_that_refuses_a_part_is_reported(tmp_path: Path, shard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    parts = ShardParts(tmp_path / "cache", IMAGE, 1)
    monkeypatch.setattr(shard_parts, "rename_durably", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        parts.write("name", scan_shard(shard, IMAGE))
    assert not list((tmp_path / "cache").iterdir())
