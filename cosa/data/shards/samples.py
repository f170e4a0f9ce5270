"""The samples of a split's shards as a sequence: none of them exists before it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from cosa.data.sample import Sample
from cosa.data.samples import Samples
from cosa.data.shards.index import ShardIndex


class ShardSamples(Samples):
    """One training sample for each usable sample of the shards.

    A sample's identifier is the name of its shard and its key: `00012.tar/000120034`.
    """

    def __init__(self, index: ShardIndex):
        self.shard_index = index

    def __len__(self) -> int:
        return len(self.shard_index)

    @overload
    def __getitem__(self, number: int) -> Sample: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Sample]: ...
    def __getitem__(self, number: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        shard, row = self.shard_index.place(number % len(self))
        rows = self.shard_index.rows(shard)
        key, caption = rows.column("key")[row].as_py(), rows.column("caption")[row].as_py()
        return Sample(f"{self.shard_index.shards[shard].name}/{key}", caption=caption)

    def identities(self, numbers: np.ndarray) -> np.ndarray:
        """Their own numbers: a sample is the only one of its media."""
        return np.asarray(numbers, np.int64)

    def first_without(self, field: str) -> str | None:
        """None for captions, since only samples with a caption are in an index; the first sample for anything else."""
        return None if field == "caption" or not len(self) else self[0].media_id
