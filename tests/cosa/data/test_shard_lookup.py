"""Clips are found in the shards of a store."""

from pathlib import Path

import pytest

from cosa.data.frame_shards import INDEX
from cosa.data.shard_lookup import ShardLookup
from tests.cosa.data.sharded import STORE_PARTS, complete


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tmp_path.joinpath(*STORE_PARTS)


@pytest.mark.parametrize("content", [b"", b"no Arrow file", None])
def test_an_index_that_is_lost_or_damaged_costs_only_time(shards: Path, content: bytes | None) -> None:
    complete(shards, "aa")
    before = ShardLookup(shards).place("aa")
    if content is None:
        (shards / "s" / INDEX).unlink()
    else:
        (shards / "s" / INDEX).write_bytes(content)
    assert ShardLookup(shards).place("aa") == before


def test_the_newest_of_two_shards_counts(shards: Path) -> None:
    for name in ("001", "002"):
        complete(shards, "aa", name=name)
    place = ShardLookup(shards).place("aa")
    assert place is not None
    assert place.shard == "002"
    assert len(ShardLookup(shards.parent / "other")) == 0
