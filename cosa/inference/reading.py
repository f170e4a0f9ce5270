"""Reads many media ahead of the model, which works meanwhile."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from cosa.errors import DataError
from cosa.message_text import shown

Item = TypeVar("Item")
Read = TypeVar("Read")

MOST_THREADS = 8  # Decoders share memory bandwidth: more do not help.


def read_ahead(
    items: Sequence[Item],
    read: Callable[[Item], Read],
    on_error: Callable[[Item, DataError], None] | None = None,
    ahead: int = 32,
) -> Iterator[tuple[int, Read]]:
    """Yield the place of each item and what is read of it, in order.

    Args:
        items: what to read.
        read: reads one, in a thread.
        on_error: is called with an item that cannot be read, which is then left out; None raises.
        ahead: how many are read before they are asked for.

    Raises:
        DataError: an item cannot be read, and `on_error` is None.
    """
    threads = min(MOST_THREADS, os.cpu_count() or 1, max(1, len(items)))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="cosa-read")
    waiting: deque[tuple[int, Future[Read]]] = deque()
    places = iter(range(len(items)))
    try:
        while True:
            while len(waiting) < ahead and (place := next(places, None)) is not None:
                waiting.append((place, pool.submit(read, items[place])))
            if not waiting:
                return
            place, future = waiting.popleft()
            try:
                found = future.result()
            except DataError as error:
                if on_error is None:
                    raise
                on_error(items[place], error)
                continue
            except OSError as error:  # of this file: a name that is too long, or links that lead to one another
                if on_error is None:
                    raise
                on_error(items[place], DataError(f"{shown(items[place])} cannot be read ({error.strerror or error})"))
                continue
            yield place, found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def batches(items: Iterable[Item], size: int, key: Callable[[Item], Hashable]) -> Iterator[list[Item]]:
    """Yield items of the same key in lists of `size`, and shorter ones at the end: pictures have one frame, videos more."""
    waiting: dict[Hashable, list[Item]] = {}
    for item in items:
        batch = waiting.setdefault(key(item), [])
        batch.append(item)
        if len(batch) == size:
            yield waiting.pop(key(item))
    yield from waiting.values()
