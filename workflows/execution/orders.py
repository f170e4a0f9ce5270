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
        sizes = [shard.samples for shard in read_shards(Path(dataset.shards.index), trained.split)]
        if sum(sizes) < trained.batch_size:
            raise UserError(f"{name} has {sum(sizes)} samples, fewer than batch_size {trained.batch_size}; lower batch_size")
        order = shuffle_of(trained.order, sizes, name).order(sum(sizes), trained.batch_size, random_stream)
        found[name] = {"shards": len(sizes), "samples": sum(sizes)}
        if isinstance(order, StreamOrder):
            found[name] |= order.describe()
    return found


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
