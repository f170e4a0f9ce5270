"""Digests what annotation files say, however it is written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import xxhash

from cosa.data import annotation_columns, column_cache, media_files, media_ids, media_lookup, video_index
from cosa.data.annotation_columns import BLOCK, AnnotationColumns, AnnotationSource
from cosa.data.annotations import captions_in, questions_in
from cosa.data.arrow_arrays import booleans, integers, strings
from cosa.data.column_cache import columns_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def texts_of(source: AnnotationSource) -> Iterator[tuple[str, str]]:
    """Yield the captions or questions of an annotation file that count, each with its clip or image.

    Raises:
        DataError: the file cannot be used.
    """
    columns = columns_of(source) if source.reading.is_part else None
    if source.kind == "questions":
        questions = columns.questions() if columns else questions_in(source.path, False, source.reading.names)
        yield from ((one.video_id, one.question) for one in questions)
    else:
        entries = columns.captions() if columns else captions_in(source.path, False, source.reading.names)
        yield from ((one.video_id, caption) for one in entries for caption in one.captions)


class ReadAnnotations(NamedTuple):
    """What an annotation file says. amount: the number of captions or questions."""

    digest: str
    amount: int


def digest_of_annotations(columns: AnnotationColumns) -> ReadAnnotations:
    """Return the digest of all entries that count, in their order, as they are used.

    It is that of their texts in UTF-8, each behind its length and a colon, the identifier of the clip first, and of a line
    break behind each entry: results know their annotations by it.
    """
    kind = columns.source.kind
    digest = xxhash.xxh3_128(kind.encode())
    if kind == "questions":
        for one in columns.questions():
            parts = (one.video_id, one.question, str(one.question_id), *one.answers)
            digest.update(b"".join(b"%d:%b" % (len(part), part) for part in map(str.encode, parts)) + b"\n")
        return ReadAnnotations(digest.hexdigest(), len(columns))
    order, amount = _rows_by_entry(columns), 0
    for start in range(0, len(order.rows), BLOCK):
        stop = min(start + BLOCK, len(order.rows))
        texts = columns.texts.column("text").take(integers(order.rows[start:stop]))
        amount += len(texts) - texts.null_count
        digest.update(_written(columns, order, slice(start, stop), texts))
    return ReadAnnotations(digest.hexdigest(), amount)


class _Order(NamedTuple):
    """Rows in the order of a digest. begins, ends: (rows,) bool, whether an entry does."""

    rows: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


def _rows_by_entry(columns: AnnotationColumns) -> _Order:
    """The references of a clip are one entry, also where the file has them in several."""
    import numpy as np

    rows = np.arange(len(columns)) if columns.chosen is None else columns.chosen
    if columns.source.kind == "references":
        rows = rows[np.argsort(columns.media, kind="stable")]
        of_entry = columns.all_media[rows]
    else:
        of_entry = columns.all_entries[rows]
    begins = np.ones(len(rows), dtype=bool)
    np.not_equal(of_entry[1:], of_entry[:-1], out=begins[1:])
    return _Order(rows, begins, np.append(begins[1:], True))


def _written(columns: AnnotationColumns, order: _Order, part: slice, texts: pa.ChunkedArray) -> memoryview:
    """What counts of some rows, as bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = columns.ids.take(integers(columns.all_media[order.rows[part]]))
    nothing, line_break, colon = strings(["", "\n", ":"])

    def with_length(values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Texts behind their lengths in bytes; nothing where there is no text."""
        return pc.binary_join_element_wise(pc.cast(pc.binary_length(values), pa.large_string()), values, colon)

    joined = pc.binary_join_element_wise(
        pc.if_else(booleans(order.begins[part]), with_length(ids), nothing),
        with_length(texts),
        pc.if_else(booleans(order.ends[part]), line_break, nothing),
        nothing,
        null_handling="replace",
    )
    found: pa.LargeStringArray = joined.combine_chunks()
    _, offsets, data = found.buffers()
    size = int(memoryview(offsets).cast("q")[found.offset + len(found)])
    return memoryview(data)[:size] if data is not None else memoryview(b"")


@cache
def code_of_reading() -> str:
    """Return a digest of the code that reads annotation files and finds clips: another one may find something else."""
    modules = (annotation_columns, media_ids, media_lookup, media_files, video_index)
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    return xxhash.xxh3_64_hexdigest(code + column_cache.code_of_reading().encode())
