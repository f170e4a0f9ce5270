"""Which samples of shards count where a split is limited to a part of them."""

from __future__ import annotations

import numpy as np

from cosa.data.shards.index import ShardIndex
from cosa.data.split_reading import SplitReading


def chosen_rows(index: ShardIndex, reading: SplitReading) -> np.ndarray | None:
    """The numbers of the samples that count, (samples,), ascending; None if all do.

    Those whose keys have the lowest hashes are chosen, as of annotation files: the samples of a smaller part are in a larger
    one, too. Of samples with the same key, in different shards, the first come first. Names of shards do not matter.
    """
    count = reading.count_of(len(index))
    if count >= len(index):
        return None
    hashes = np.concatenate([index.rows(shard).column("hash").to_numpy() for shard in range(len(index.shards))])
    highest = np.partition(hashes, count - 1)[count - 1]
    wanted = hashes < highest
    last = np.flatnonzero(hashes == highest)
    wanted[last[: count - np.count_nonzero(wanted)]] = True
    return np.flatnonzero(wanted).astype(np.min_scalar_type(len(index)))
