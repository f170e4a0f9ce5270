"""Shards of frames that tests write. Their frames are no pictures."""

from pathlib import Path

from cosa.data.frame_shards import FrameShards
from cosa.data.frame_writers import ShardFrames
from cosa.data.shard_lookup import ShardLookup
from cosa.data.shard_writing import ShardState, ShardWriter, clips_in, make_complete

STORE_PARTS = ("shards", "way")


def frames_of(clip: str) -> list[bytes]:
    return [f"{clip} {number} ".encode() * (200 * number + 100) for number in range(3)]


def add(shard: ShardWriter, clip: str, count: int = 3) -> None:
    """Append a clip; without its end if only a part of its frames is wanted."""
    writer = ShardFrames(shard, clip)
    for content in frames_of(clip)[:count]:
        writer.write(content)
    if count == 3:
        writer.complete(clip, "way", {"frames": 3})


def opened(shards: Path, name: str = "s", end: int = 0, clips: int = 0) -> ShardWriter:
    shard = ShardWriter.open(shards, ShardState(name, end, clips))
    assert shard is not None
    return shard


def names(shards: Path, name: str = "s") -> list[str]:
    with (shards / name / "frames.tar").open("rb") as file:
        return [one.clip for one in clips_in(file, read_all=True)]


def contents(shards: Path, clip: str) -> list[bytes]:
    """Frames, as a reader finds them."""
    lookup = ShardLookup(shards)
    place = lookup.place(clip)
    assert place is not None
    frames = FrameShards(shards.parents[1], "way", lookup.names).frames(place, clip)
    return [frame.content() for frame in frames]


def complete(shards: Path, *clips: str, name: str = "s") -> Path:
    """Write a complete shard, and return its tar file."""
    shard = opened(shards, name)
    for clip in clips:
        add(shard, clip)
    shard.close()
    assert [one.clip for one in make_complete(shards / name) or ()] == list(clips)
    return shards / name / "frames.tar"
