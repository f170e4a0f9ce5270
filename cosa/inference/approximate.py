"""Approximate search by faiss, for indexes of many millions: a query is compared with a part of the vectors only."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from cosa.errors import UserError

if TYPE_CHECKING:
    from cosa.inference.search_index import Hit, SearchIndex

SUFFIX = ".faiss"
LISTS_PER_ROOT = 4  # times the square root of the number of vectors: what faiss recommends
TRAINED_PER_LIST = 64  # vectors that the lists' centres are learned from
PROBED = 32  # lists that a query is compared with


def search_approximately(index: SearchIndex, file: Path, queries: NDArray[np.float32], top: int) -> list[list[Hit]]:
    """The nearest vectors in the lists that are nearest to each query, the best first; scores are exact.

    The lists are made once and kept beside the index.

    Args:
        index: what is searched.
        file: where it was read from.
        queries: (queries, dim) of unit length.
        top: how many, at most.

    Raises:
        UserError: faiss is not installed.
    """
    if not len(index):
        return [[] for _ in np.atleast_2d(queries)]
    lists = _lists(index, file)
    lists.nprobe = PROBED
    scores, rows = lists.search(np.ascontiguousarray(np.atleast_2d(queries)), min(top, len(index)))
    found = []
    for row_scores, row_places in zip(scores, rows, strict=True):
        places = row_places[row_places >= 0]  # faiss fills up with -1 where the lists hold too few.
        found.append(index.hits(places, row_scores[: len(places)]))
    return found


def _lists(index: SearchIndex, file: Path) -> Any:
    """The lists of an index: read, or made anew if there are none of its vectors. Those of older ones are removed."""
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "approximate search needs faiss; install it with `pip install 'cosa-experiments[faiss]'`, or search exactly"
        ) from error
    kept = file.with_name(
        f"{file.name}.{xxh3_64_hexdigest(index.vectors.data)}{SUFFIX}"
    )  # lists of these vectors, and no others
    if kept.is_file():
        return faiss.read_index(str(kept))
    count, dim = index.vectors.shape
    lists = max(1, min(count, int(LISTS_PER_ROOT * count**0.5)))
    made = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).permutation(count)[: lists * TRAINED_PER_LIST]
    made.train(index.vectors[np.sort(sample)])
    made.add(index.vectors)
    beside = kept.with_name(f".{kept.name}.{os.getpid()}")
    for older in file.parent.glob(f"{glob.escape(file.name)}.*{SUFFIX}"):
        older.unlink()
    faiss.write_index(made, str(beside))
    beside.replace(kept)
    return made
