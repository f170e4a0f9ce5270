"""Approximate search by faiss, for indexes of millions of vectors: a query is compared with a part of them only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from cosa.errors import UserError
from cosa.replaced_file import replacing

if TYPE_CHECKING:
    from cosa.inference.search_index import Hit, SearchIndex

SUFFIX = ".faiss"
FEWEST = 100_000  # vectors for which lists are made: fewer are compared within some hundredths of a second
LISTS_PER_ROOT = 4  # times the square root of the number of vectors: what faiss recommends
TRAINED_PER_LIST = 64  # vectors that the lists' centres are learned from
PROBED = 32  # lists that a query is compared with


def search_approximately(index: SearchIndex, file: Path, queries: NDArray[np.float32], top: int) -> list[list[Hit]]:
    """The nearest vectors in the lists that are nearest to each query, the best first; scores are exact.

    The lists are made once and stored beside the index. An index of fewer than `FEWEST` vectors is searched exactly.

    Args:
        index: what is searched.
        file: where it was read from.
        queries: (queries, dim) of unit length.
        top: how many, at most.

    Raises:
        UserError: faiss is not installed, or as of `SearchIndex.search`.
    """
    if len(index) < FEWEST:
        return index.search(queries, top)
    asked = index.checked_queries(queries, top)
    lists = _lists(index, file)
    lists.nprobe = PROBED
    scores, rows = lists.search(np.ascontiguousarray(asked, dtype=np.float32), min(top, len(index)))
    found = []
    for row_scores, row_places in zip(scores, rows, strict=True):
        places = row_places[row_places >= 0]  # faiss fills up with -1 where the lists hold too few.
        found.append(index.hits(places, row_scores[: len(places)]))
    return found


def _lists(index: SearchIndex, file: Path) -> Any:
    """The lists of an index: read, or made anew if there are none of its vectors, or they are damaged."""
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "approximate search needs faiss; install it with `pip install 'cosa-experiments[faiss]'`, or search exactly"
        ) from error
    stored = file.with_name(file.name + SUFFIX)
    vectors = xxh3_128_digest(index.vectors.data)
    if stored.is_file() and _is_intact(stored, vectors):
        return faiss.read_index(str(stored))
    made = _made(faiss, index.vectors)
    with replacing(stored) as beside:
        faiss.write_index(made, str(beside))
        signature = vectors + xxh3_128_digest(np.memmap(beside, mode="r").data)
        with beside.open("ab") as written:
            written.write(signature)
    return made


def _is_intact(stored: Path, vectors: bytes) -> bool:
    """Whether stored lists are of vectors with a digest, and as they were written: faiss would believe anything.

    Behind what faiss wrote are the digests of the vectors and of that, which faiss does not read.
    """
    if stored.stat().st_size < 2 * len(vectors):
        return False
    content = np.memmap(stored, mode="r")
    lists, signature = content[: -2 * len(vectors)], content[-2 * len(vectors) :]
    return signature.tobytes() == vectors + xxh3_128_digest(lists.data)


def _made(faiss: Any, vectors: NDArray[np.float32]) -> Any:
    """Lists of vectors (rows, dim)."""
    count, dim = vectors.shape
    lists = int(LISTS_PER_ROOT * count**0.5)
    made = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).permutation(count)[: lists * TRAINED_PER_LIST]
    made.train(vectors[np.sort(sample)])
    made.add(vectors)
    return made
