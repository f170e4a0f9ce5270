"""How the samples of a corpus are shuffled, as specs say it. No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from cosa.section import Section, added_later

MOST_STREAMS = 64  # where a spec does not say how many


class OrderSettings(Section):
    """How the samples of a corpus are shuffled. Every way is a pure function of seed and epoch, whatever the workers."""

    shuffle: Literal["full", "streams"] | None = added_later(
        None,
        description="full: a permutation of all samples in each epoch; streams: shards in random order, partitioned into "
        "streams that are shuffled in windows, so that a worker needs few shards at a time; left out: streams for shards, "
        "else full",
    )
    streams: PositiveInt | None = added_later(
        None,
        description="shuffle: streams: how many; each fills an equal part of every batch; left out: "
        f"{MOST_STREAMS}, or fewer with fewer shards or samples a batch",
    )
    window_shards: PositiveInt = added_later(
        8, description="shuffle: streams: so many shards' samples of a stream are shuffled among one another"
    )
