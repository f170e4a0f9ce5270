"""The samples of a split's shards as a sequence: none of them exists before it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosa.data.sample import Sample
from cosa.data.sample_table import SampleTable
from cosa.data.shards.index import ShardIndex


class ShardSamples(SampleTable):
    """One training sample for each usable sample of the shards.

    A sample's identifier is the name of its shard and its key: `00012.tar/000120034`.
    """

    def __init__(self, shard_index: ShardIndex):
        self.shard_index = shard_index

    def __len__(self) -> int:
        return len(self.shard_index)

    def sample(self, place: int) -> Sample:
        """One sample, with its caption."""
        shard, row = self.shard_index.place(place)
        key = self.shard_index.rows(shard).column("key")[row].as_py()
        return Sample(f"{self.shard_index.shards[shard].name}/{key}", caption=self.text(place, "caption"))

    def __iter__(self) -> Iterator[Sample]:
        return map(self.sample, range(len(self)))

    def text(self, place: int, field: str) -> str:
        """The caption of one sample; shards have no other texts."""
        if field != "caption":
            return ""
        shard, row = self.shard_index.place(place)
        found: str = self.shard_index.rows(shard).column("caption")[row].as_py()
        return found

    def identities_of(self, places: np.ndarray) -> np.ndarray:
        """Their own numbers, (rows,) int64: a sample is the only one of its media. places: of samples, (rows,)."""
        return np.asarray(places, np.int64)

    def first_without(self, field: str) -> str | None:
        """None for captions, since only samples with a caption are in an index; the first sample for anything else."""
        return None if field == "caption" or not len(self) else self.sample(0).media_id
