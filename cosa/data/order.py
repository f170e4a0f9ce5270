"""In which order samples are trained on: a pure function of seed and epoch, so that any batch can be asked for at once.

Batches are those of all workers together. Nothing here knows how many workers share one, so their number changes none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosa.data.order_settings import MOST_STREAMS, OrderSettings
from cosa.errors import UserError

Draw = Callable[..., np.random.Generator]  # random numbers by counters, the first of which is the epoch


class Order(ABC):
    """The samples of every batch of every epoch. A last batch that would not be full is left out of its epoch."""

    def __init__(self, samples: int, batch_size: int):
        self.samples, self.batch_size = samples, batch_size

    def batch(self, turn: int) -> np.ndarray:
        """Indices of the samples of batch number `turn`, counted over all epochs: (batch_size,) integers."""
        return self.rows(*divmod(turn, self.samples // self.batch_size))

    @abstractmethod
    def rows(self, epoch: int, place: int) -> np.ndarray:
        """Indices of the samples of the batch at a place of an epoch: (batch_size,) integers."""


class Shuffle(ABC):
    """A way to shuffle, before it is known for which seed and batches."""

    @abstractmethod
    def order(self, samples: int, batch_size: int, draw: Draw) -> Order:
        """The order of so many samples.

        Raises:
            UserError: they cannot be ordered so.
        """


class FullShuffle(Shuffle):
    """A permutation of all samples in each epoch."""

    def order(self, samples: int, batch_size: int, draw: Draw) -> Order:
        """The order of so many samples."""
        return FullOrder(samples, batch_size, draw)


class FullOrder(Order):
    """A permutation of all samples in each epoch. The one in use is stored."""

    def __init__(self, samples: int, batch_size: int, draw: Draw):
        super().__init__(samples, batch_size)
        self._draw = draw
        self._epoch, self._permutation = -1, np.zeros(0, np.int64)

    def rows(self, epoch: int, place: int) -> np.ndarray:
        """A part of the permutation."""
        if epoch != self._epoch:
            order = np.arange(self.samples, dtype=np.min_scalar_type(self.samples))
            self._draw(epoch).shuffle(order)  # It is what `permutation` gives, whose numbers take 8 bytes each.
            self._epoch, self._permutation = epoch, order
        return self._permutation[place * self.batch_size : (place + 1) * self.batch_size]


@dataclass(frozen=True)
class StreamShuffle(Shuffle):
    """Shuffles so that few shards are needed at a time.

    sizes: samples of each shard, in the order in which samples are numbered. streams: None chooses. window_shards: see
    `StreamOrder`. name: of the corpus, for messages.
    """

    sizes: Sequence[int]
    streams: int | None = None
    window_shards: int = 8
    name: str = "the corpus"

    def order(self, samples: int, batch_size: int, draw: Draw) -> StreamOrder:
        """The order of so many samples.

        Raises:
            UserError: there are more streams than shards, or than samples a batch.
        """
        assert samples == sum(self.sizes), "the shards hold other samples"
        most = min(sum(size > 0 for size in self.sizes), batch_size)
        streams = self.streams if self.streams is not None else min(MOST_STREAMS, most)
        if streams > most:
            what = f"{most} samples a batch" if most == batch_size else f"{most} shard{'s' if most > 1 else ''} with samples"
            raise UserError(
                f"{self.name} has {what}, fewer than its {streams} streams; set streams to {most} or fewer, leave it out, or "
                "use shuffle: full"
            )
        return StreamOrder(self.sizes, batch_size, streams, self.window_shards, draw)


class StreamOrder(Order):
    """Shards in a random order, partitioned into streams that are shuffled in windows.

    In each epoch the shards are permuted and their samples laid end to end. This sequence is cut into streams, each of which
    fills the same neighbouring rows of every batch. A stream is cut into windows of about as many samples as `window_shards`
    shards have, and each window is permuted. So a worker, whose rows are neighbours, reads the shards of its own streams alone,
    a window of each at a time; and the batch at any place follows without those before it.

    What it costs in randomness: `describe`.
    """

    def __init__(self, sizes: Sequence[int], batch_size: int, streams: int, window_shards: int, draw: Draw):
        super().__init__(int(sum(sizes)), batch_size)
        self.streams, self._draw = streams, draw
        self._sizes = np.asarray(sizes, np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes  # number of each shard's first sample
        shards = max(1, int(np.count_nonzero(self._sizes)))
        self.window = max(1, round(window_shards * self.samples / shards))  # samples
        # Row r belongs to stream r * streams // batch_size; a stream is as long as its share of rows.
        first: np.ndarray = -(-np.arange(streams + 1) * batch_size // streams)
        self._rows = [int(rows) for rows in np.diff(first)]
        self._bounds = [int(row) * self.samples // batch_size for row in first]
        self._epoch = -1
        self._shards, self._ends = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._windows: dict[int, tuple[int, np.ndarray]] = {}

    def rows(self, epoch: int, place: int) -> np.ndarray:
        """The next samples of each stream, one stream after the other."""
        if epoch != self._epoch:
            self._epoch, self._windows = epoch, {}
            self._shards = self._draw(epoch).permutation(len(self._sizes))
            self._ends = np.cumsum(self._sizes[self._shards])
        places = [self._places(stream, place * count, count) for stream, count in enumerate(self._rows)]
        return self._numbers(np.concatenate(places))

    def shards_of(self, rows: np.ndarray) -> np.ndarray:
        """The numbers of the shards of samples."""
        return np.searchsorted(self._starts + self._sizes, rows, side="right")

    def describe(self) -> dict[str, Any]:
        """What is known about how well it shuffles.

        Returns:
            streams: their number. window: samples that are shuffled among one another. same_shard: the expected share of the
            other samples of a batch that are of a sample's own shard, and same_shard_full the same of a full permutation.
            spread: the share of an epoch over which the samples of a shard are spread; it is 1 in a full permutation.
        """
        shard = self.samples / max(1, int(np.count_nonzero(self._sizes)))
        length = self.samples / self.streams
        window = length / max(1, round(length / self.window))
        others = float(sum(rows * (rows - 1) for rows in self._rows)) / max(1, self.batch_size * (self.batch_size - 1))
        return {
            "streams": self.streams,
            "window": round(window),
            "same_shard": others * min(1.0, (shard - 1) / max(1.0, window - 1)),
            "same_shard_full": (shard - 1) / max(1, self.samples - 1),
            "spread": min(1.0, (window + shard) / length),
        }

    def _places(self, stream: int, first: int, count: int) -> np.ndarray:
        """Places of a stream's samples number `first` and following in the sequence of all shards."""
        start, length = self._bounds[stream], self._bounds[stream + 1] - self._bounds[stream]
        windows = max(1, round(length / self.window))
        found = []
        while count > 0:
            index = _window_of(first, length, windows)
            begin, end = index * length // windows, (index + 1) * length // windows
            taken = min(count, end - first)
            found.append(start + begin + self._permutation(stream, index, end - begin)[first - begin : first - begin + taken])
            first, count = first + taken, count - taken
        return np.concatenate(found)

    def _permutation(self, stream: int, window: int, length: int) -> np.ndarray:
        known = self._windows.get(stream)
        if known is None or known[0] != window:
            known = (window, self._draw(self._epoch, stream, window).permutation(length))
            self._windows[stream] = known
        return known[1]

    def _numbers(self, places: np.ndarray) -> np.ndarray:
        """Numbers of the samples at places of the sequence of all shards."""
        slots = np.searchsorted(self._ends, places, side="right")
        shards = self._shards[slots]
        offsets: np.ndarray = places - (self._ends[slots] - self._sizes[shards])
        return self._starts[shards] + offsets


def _window_of(place: int, length: int, windows: int) -> int:
    """The window that a place of a stream is in, where window w begins at w * length // windows."""
    return ((place + 1) * windows - 1) // length


def shuffle_of(settings: OrderSettings, shard_sizes: Sequence[int] | None, name: str) -> Shuffle:
    """The way to shuffle a corpus.

    Args:
        settings: what a spec says.
        shard_sizes: samples of each of its shards; None if it has none.
        name: of the corpus, for messages.

    Raises:
        UserError: it has no shards, and the settings ask for streams.
    """
    wanted = settings.shuffle or ("full" if shard_sizes is None else "streams")
    if wanted == "full":
        return FullShuffle()
    if shard_sizes is None:
        raise UserError(f"{name} has no shards, which shuffle: streams needs; leave shuffle out")
    return StreamShuffle(shard_sizes, settings.streams, settings.window_shards, name)
