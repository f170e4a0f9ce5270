"""Shards of frames: written clip by clip, cut off where a writer was killed, and read by anybody who reads tar files."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cosa.data import shard_writing
from cosa.data.frame_shards import FrameShards
from cosa.data.frame_writers import ShardFrames
from cosa.data.shard_lookup import ShardLookup
from cosa.data.shard_writing import ShardState, ShardWriter, make_complete
from tests.cosa.data.sharded import STORE_PARTS, add, contents, frames_of, names, opened


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tmp_path.joinpath(*STORE_PARTS)


def test_clips_are_found_in_open_and_in_complete_shards(shards: Path) -> None:
    shard = opened(shards)
    for clip in ("aa", "bb"):
        add(shard, clip)
    assert contents(shards, "bb") == frames_of("bb")
    shard.close()
    shard = opened(shards, *shard.state)
    assert shard.places == {}, "it was left as its writer said, so that nothing was looked for"
    add(shard, "cc")
    shard.close()
    assert [one.clip for one in make_complete(shards / "s") or ()] == ["aa", "bb", "cc"]
    assert {clip: contents(shards, clip) for clip in ("aa", "bb", "cc")} == {c: frames_of(c) for c in ("aa", "bb", "cc")}
    assert ShardLookup(shards).place("dd") is None
    assert len(ShardLookup(shards)) == 3
    assert ShardWriter.open(shards, ShardState("s")) is None, "a complete one never changes"


@pytest.mark.parametrize("cut", [1, 511, 512, 700, 3000, 40_000])
def test_what_a_killed_writer_left_of_a_clip_is_cut_off(shards: Path, cut: int) -> None:
    shard = opened(shards)
    add(shard, "aa")
    end = shard.state.end
    add(shard, "bb")
    shard.close()
    path = shards / "s" / "frames.tar"
    cut = min(end + cut, path.stat().st_size - 1)
    path.write_bytes(path.read_bytes()[:cut])
    shard = opened(shards, "s", end, 1) if cut == end else opened(shards)
    assert list(shard.places) == ["aa"]
    assert shard.state == ShardState("s", end, 1)
    add(shard, "cc")
    shard.close()
    assert names(shards) == ["aa", "cc"]
    assert contents(shards, "cc") == frames_of("cc")


def test_a_clip_that_cannot_be_read_leaves_nothing(shards: Path) -> None:
    shard = opened(shards)
    add(shard, "aa")
    writer = ShardFrames(shard, "bb")
    writer.write(b"picture")
    writer.discard()
    add(shard, "cc")
    shard.close()
    assert names(shards) == ["aa", "cc"]


@pytest.mark.parametrize("place", [600, 10], ids=["in a frame", "in a header"])
def test_what_a_loss_of_power_damaged_does_not_count(shards: Path, place: int) -> None:
    """What follows the damage stays in the file, because somebody may use it already."""
    shard = opened(shards)
    ends = []
    for clip in ("aa", "bb", "cc"):
        add(shard, clip)
        ends.append(shard.state.end)
    before = ShardLookup(shards).place("cc")
    assert before is not None
    shard.close()
    path = shards / "s" / "frames.tar"
    content = bytearray(path.read_bytes())
    content[ends[0] + place : ends[0] + place + 50] = bytes(50)
    path.write_bytes(content)
    if place == 10:
        assert ShardWriter.open(shards, ShardState("s")) is None, "what is appended would not be found"
    found = {one.clip for one in make_complete(shards / "s") or ()}
    assert found == ({"aa", "cc"} if place == 600 else {"aa"})
    frames = FrameShards(shards.parents[1], "way", ["s"]).frames(before, "cc")
    assert [frame.content() for frame in frames] == frames_of("cc")
    assert ShardLookup(shards).place("bb") is None


def test_one_process_writes_a_shard_at_a_time(shards: Path) -> None:
    shard = opened(shards)
    add(shard, "aa")
    assert ShardWriter.open(shards, ShardState("s")) is None
    assert make_complete(shards / "s") is None
    shard.close()
    code = (
        "import sys; from pathlib import Path; from cosa.data.shard_writing import ShardState, ShardWriter; "
        "shard = ShardWriter.open(Path(sys.argv[1]), ShardState('s')); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(shards)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        assert ShardWriter.open(shards, ShardState("s"), wait=0.1) is None
        other.kill()
        after = ShardWriter.open(shards, ShardState("s"), wait=10)
    assert after is not None
    assert list(after.places) == ["aa"], "a killed process holds nothing"


def test_a_shard_without_a_clip_goes(shards: Path) -> None:
    shard = opened(shards)
    add(shard, "aa", count=2)
    shard.close()
    assert make_complete(shards / "s") == []
    assert list(shards.iterdir()) == []
    assert make_complete(shards / "s") is None


def test_shards_are_bounded(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = opened(shards)
    monkeypatch.setattr(shard_writing, "SHARD_CLIPS", 2)
    add(shard, "aa")
    assert not shard.is_full
    add(shard, "bb")
    assert shard.is_full
    monkeypatch.setattr(shard_writing, "SHARD_CLIPS", 10)
    assert not shard.is_full
    monkeypatch.setattr(shard_writing, "SHARD_BYTES", 1000)
    assert shard.is_full


def test_a_full_disk_is_reported_with_the_file(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = opened(shards)
    add(shard, "aa")

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = ShardFrames(shard, "bb")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*/s/frames\.tar'"):
            writer.write(b"picture")
        writer.discard()
    add(shard, "cc")
    shard.close()
    assert names(shards) == ["aa", "cc"]
