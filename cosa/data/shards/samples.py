"""The samples of a split's shards as a sequence: none of them exists before it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosa.data.sample import Sample
from cosa.data.sample_table import SampleTable
from cosa.data.shards.index import ShardIndex
from cosa.data.shards.part import chosen_rows
from cosa.data.split_reading import IN_FULL, SplitReading


class ShardSamples(SampleTable):
    """One training sample for each usable sample of the shards that counts.

    A sample's identifier is the name of its shard and its key: `00012.tar/000120034`. reading: which part of them counts.
    """

    def __init__(self, shard_index: ShardIndex, reading: SplitReading = IN_FULL):
        self.shard_index = shard_index
        self._rows = chosen_rows(shard_index, reading)

    def __len__(self) -> int:
        return len(self.shard_index) if self._rows is None else len(self._rows)

    @property
    def shard_sizes(self) -> list[int]:
        """How many samples of each shard count, in the order in which samples are numbered."""
        sizes = [shard.samples for shard in self.shard_index.shards]
        if self._rows is None:
            return sizes
        counts: list[int] = np.diff(np.searchsorted(self._rows, np.cumsum([0, *sizes]))).tolist()
        return counts

    def _place(self, place: int) -> tuple[int, int]:
        """The number of a sample's shard, and of its row among those of the shard."""
        return self.shard_index.place(place if self._rows is None else int(self._rows[place]))

    def sample(self, place: int) -> Sample:
        """One sample, with its caption."""
        shard, row = self._place(place)
        key = self.shard_index.rows(shard).column("key")[row].as_py()
        return Sample(f"{self.shard_index.shards[shard].name}/{key}", caption=self.text(place, "caption"))

    def __iter__(self) -> Iterator[Sample]:
        return map(self.sample, range(len(self)))

    def text(self, place: int, field: str) -> str:
        """The caption of one sample; shards have no other texts."""
        if field != "caption":
            return ""
        shard, row = self._place(place)
        found: str = self.shard_index.rows(shard).column("caption")[row].as_py()
        return found

    def identities_of(self, places: np.ndarray) -> np.ndarray:
        """Their own numbers, (rows,) int64: a sample is the only one of its media. places: of samples, (rows,)."""
        return np.asarray(places, np.int64)

    def first_without(self, field: str) -> str | None:
        """None for captions, since only samples with a caption are in an index; the first sample for anything else."""
        return None if field == "caption" or not len(self) else self.sample(0).media_id
