"""Says before a training starts in which order it will read shards, and how well that shuffles them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosa.errors import UserError
from workflows.execution.context import StageContext

ORDERS = "orders"  # of `Manifest.details`: by dataset and split, what `StreamOrder.describe` says


def orders_of(context: StageContext[Any]) -> dict[str, dict[str, Any]]:
    """Return how well the samples of each dataset in shards are shuffled, by its name and split; nothing for other data.

    Raises:
        UserError: they cannot be shuffled so, or are fewer than a batch takes.
    """
    found = {}
    for trained in context.kind.trained_splits(context.section):
        dataset = context.dataset(trained.dataset)
        if dataset.shards is None:
            continue
        from cosa.data.order import StreamOrder, shuffle_of
        from cosa.data.random_streams import random_stream
        from cosa.data.shards.index import read_shards

        name = f"{trained.dataset}/{trained.split}"
        shards = read_shards(Path(dataset.shards.index), trained.split)
        samples = dataset.samples_in_shards(trained.split)
        assert samples is not None
        sizes = list(samples.shard_sizes or ())
        if sum(sizes) < trained.batch_size:
            raise UserError(f"{name} has {sum(sizes)} samples, fewer than batch_size {trained.batch_size}; lower batch_size")
        order = shuffle_of(trained.order, sizes, name).order(sum(sizes), trained.batch_size, random_stream)
        found[name] = {"shards": len(sizes), "samples": sum(sizes)}
        at_once = len(shards)
        if isinstance(order, StreamOrder):
            found[name] |= order.describe()
            at_once = min(at_once, order.streams * (trained.order.window_shards + 2))
        if any(shard.version for shard in shards):
            _warn_of_little_room(context, name, at_once, sum(shard.size for shard in shards) / len(shards))
    return found


def _warn_of_little_room(context: StageContext[Any], name: str, shards: int, mean_size: float) -> None:
    """Warn if copies of the shards that are read at a time do not fit: they would be fetched again and again."""
    _, room = context.shard_copies
    if shards * mean_size > room:
        context.run.tracker.reporter.warn(
            f"{name}: about {shards} shards are read at a time ({shards * mean_size / 1e9:.1f} GB over all machines), and "
            f"copies may take {room / 1e9:.0f} GB on each; raise cluster.shard_copies_gigabytes, or lower streams or "
            "window_shards"
        )


def order_lines(orders: dict[str, dict[str, Any]]) -> list[str]:
    """Say in a line for each dataset how it is shuffled."""
    lines = []
    for name, order in orders.items():
        if "streams" not in order:
            lines.append(f"{name}: all {order['samples']} samples are shuffled, so that each step reads from many shards")
            continue
        lines.append(
            f"{name}: {order['streams']} streams over {order['shards']} shards, in windows of {order['window']} samples: "
            f"{order['same_shard']:.2%} of a batch's others are of a sample's own shard (fully shuffled "
            f"{order['same_shard_full']:.2%}), whose samples spread over {order['spread']:.0%} of an epoch"
        )
    return lines
