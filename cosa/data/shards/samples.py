"""The samples of a split's shards as a sequence: none of them exists before it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

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

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sample]: ...
    def __getitem__(self, place: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        shard, row = self.shard_index.place(place)
        key = self.shard_index.rows(shard).column("key")[row].as_py()
        return Sample(f"{self.shard_index.shards[shard].name}/{key}", caption=self.text(place, "caption"))

    def __iter__(self) -> Iterator[Sample]:
        return (self[place] for place in range(len(self)))

    def text(self, place: int, field: str) -> str:
        """The caption of one sample; shards have no other texts."""
        if field != "caption":
            return ""
        shard, row = self.shard_index.place(place)
        found: str = self.shard_index.rows(shard).column("caption")[row].as_py()
        return found

    def identities_of(self, places: np.ndarray) -> np.ndarray:
        """Their own numbers: a sample is the only one of its media."""
        return np.asarray(places, np.int64)

    def without(self, field: str) -> str | None:
        """None for captions, since only samples with a caption are in an index; the first sample for anything else."""
        return None if field == "caption" or not len(self) else self[0].media_id
