"""Shards as webdataset's own writer makes them, and samples as its own reader finds them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosa.data.shards.scan import Scanning, scan_shard
from cosa.data.shards.tar import samples_in
from tests.cosa.data.shards.made import picture, sample, write_tar

webdataset: Any = pytest.importorskip("webdataset")


def read_by_webdataset(path: Path) -> list[dict[str, bytes]]:
    return list(webdataset.WebDataset(str(path), shardshuffle=False))


def test_its_writer(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        for number in range(5):
            pixels = np.full((20, 30, 3), 40 * number, np.uint8)
            writer.write(
                {"__key__": f"folder/{number:05d}", "png": pixels, "txt": f"text {number}", "json": {"caption": "other"}}
            )
    scanned = scan_shard(str(tmp_path / "a.tar"), Scanning("image"))
    assert scanned.broken == []
    assert scanned.samples.column("key").to_pylist() == [f"folder/{number:05d}" for number in range(5)]
    assert scanned.samples.column("caption").to_pylist() == [f"text {number}" for number in range(5)]
    assert set(zip(*(scanned.samples.column(name).to_pylist() for name in ("width", "height")), strict=True)) == {(30, 20)}
    assert (
        scan_shard(str(tmp_path / "a.tar"), Scanning("image", "json.caption")).samples.column("caption")[3].as_py() == "other"
    )


def test_its_shard_writer_and_frames(tmp_path: Path) -> None:
    with webdataset.ShardWriter(str(tmp_path / "%05d.tar"), maxcount=3, verbose=0) as writer:
        for number in range(7):
            frames = {f"{frame:04d}.jpg": picture(10 * number + frame) for frame in range(4)}
            writer.write({"__key__": f"{number:06d}", **frames, "txt": f"clip {number}"})
    shards = [scan_shard(str(path), Scanning("video")) for path in sorted(tmp_path.glob("*.tar"))]
    assert [shard.samples.num_rows for shard in shards] == [3, 3, 1]
    assert all(len(row) == 4 for shard in shards for row in shard.samples.column("pictures").to_pylist())


def test_its_reader_finds_the_same_samples(tmp_path: Path) -> None:
    members = [
        *sample("a/b.c/000", 1), *sample("001", 2), ("README", b"x"), (".hidden.txt", b"x"), ("__notes__", b"x"),
        ("__notes__/x.txt", b"x"), ("002.cls", b"3"), ("002.Seg.PNG", picture(3)), *sample("x.y", 4), ("é/ü.txt", "ä".encode()),
    ]  # fmt: skip
    path = write_tar(tmp_path / "a.tar", members)
    content = path.read_bytes()
    with path.open("rb") as file:
        found = [
            (one.key, {m.suffix: content[m.offset : m.offset + m.size] for m in one.members})
            for one in samples_in(file, len(content))
        ]
    expected = [
        (one["__key__"], {name: value for name, value in one.items() if not name.startswith("__")})
        for one in read_by_webdataset(path)
    ]
    assert found == expected
