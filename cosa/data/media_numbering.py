"""Numbers the clips or images of an annotation file: equal identifiers get the same number, in order of appearance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosa.data.annotation_columns import BLOCK
from cosa.data.arrow_arrays import integers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def numbered(hashes: np.ndarray, ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) numbers of equal identifiers in order of appearance, and (numbers,) the rows where they appear first.

    Equal hashes are looked for by sorting, which takes a third of the memory of Arrow's dictionary; then texts are compared.
    """
    import numpy as np

    order = np.argsort(hashes, kind="stable").astype(np.int32)  # Of 17 million rows each array of int64 takes 136 MB.
    is_new = np.empty(len(order), dtype=bool)
    is_new[:1] = True
    in_order = hashes[order]
    del hashes
    np.not_equal(in_order[1:], in_order[:-1], out=is_new[1:])
    del in_order
    first = order[is_new]  # The order is stable: of equal ones the first comes first.
    by_appearance = np.argsort(first).astype(np.int32)
    number_of_group = np.empty(len(first), dtype=np.int32)
    number_of_group[by_appearance] = np.arange(len(first), dtype=np.int32)
    media = np.empty(len(order), dtype=np.int32)
    media[order] = number_of_group[np.cumsum(is_new, dtype=np.int32) - 1]
    first = first[by_appearance]
    if len(first) < len(media) and not _all_equal(ids, media, first):
        return _numbered_exactly(ids)
    return media, first


def _all_equal(ids: pa.ChunkedArray, media: np.ndarray, first: np.ndarray) -> bool:
    """Whether rows of the same number have the same identifier."""
    import pyarrow.compute as pc

    every_id = ids.combine_chunks()
    return all(
        pc.all(pc.equal(every_id.slice(start, BLOCK), every_id.take(integers(first[media[start : start + BLOCK]])))).as_py()
        for start in range(0, len(media), BLOCK)
    )


def _numbered_exactly(ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """What `numbered` gives, if two identifiers have the same hash."""
    import numpy as np

    known: dict[str, int] = {}
    media = np.fromiter((known.setdefault(str(one), len(known)) for one in ids), np.int32, len(ids))
    return media, np.unique(media, return_index=True)[1]
