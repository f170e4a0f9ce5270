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
    import numpy as np

    kind = columns.source.kind
    digest = xxhash.xxh3_128(kind.encode())
    if kind == "questions":
        for one in columns.questions():
            parts = (one.video_id, one.question, str(one.question_id), *one.answers)
            digest.update(b"".join(b"%d:%b" % (len(part), part) for part in map(str.encode, parts)) + b"\n")
        return ReadAnnotations(digest.hexdigest(), len(columns))
    amount, of_last = 0, -1
    for media, entries, texts, ends in _by_clip(columns) if kind == "references" else _by_entry(columns):
        begins = np.append(entries[:1] != of_last, entries[1:] != entries[:-1])
        of_last, amount = int(entries[-1]), amount + len(texts) - texts.null_count
        digest.update(_written(columns.ids.take(integers(media)), begins, texts, np.append(begins[1:], ends)))
    return ReadAnnotations(digest.hexdigest(), amount)


class _Rows(NamedTuple):
    """Some rows in the order of a digest. media, entries: (rows,), their numbers. ends: whether an entry ends with the last."""

    media: np.ndarray
    entries: np.ndarray
    texts: pa.Array
    ends: bool


def _by_entry(columns: AnnotationColumns) -> Iterator[_Rows]:
    every = columns.all_entries if columns.chosen is None else columns.all_entries[columns.chosen]
    for places, _, batch in columns.batches("text"):
        entries = every[places]
        if len(entries):
            ends = places.stop == len(columns) or bool(every[places.stop] != entries[-1])
            yield _Rows(columns.media[places], entries, batch.column(0), ends)


def _by_clip(columns: AnnotationColumns) -> Iterator[_Rows]:
    """The references of a clip are one entry, also where the file has them in several."""
    import numpy as np

    order = np.argsort(columns.media, kind="stable")
    rows = order if columns.chosen is None else columns.chosen[order]
    media, texts = columns.all_media[rows], columns.texts.column("text").combine_chunks()
    for start in range(0, len(rows), BLOCK):
        stop = min(start + BLOCK, len(rows))
        ends = stop == len(rows) or bool(media[stop] != media[stop - 1])
        yield _Rows(media[start:stop], media[start:stop], texts.take(integers(rows[start:stop])), ends)


def _written(ids: pa.Array, begins: np.ndarray, texts: pa.Array, ends: np.ndarray) -> memoryview:
    """What counts of some rows, as bytes. begins, ends: (rows,) bool, whether an entry does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing, line_break, colon = strings(["", "\n", ":"])

    def with_length(values: pa.Array) -> pa.Array:
        """Texts behind their lengths in bytes; nothing where there is no text."""
        return pc.binary_join_element_wise(pc.cast(pc.binary_length(values), pa.large_string()), values, colon)

    joined = pc.binary_join_element_wise(
        pc.if_else(booleans(begins), with_length(ids), nothing),
        with_length(texts),
        pc.if_else(booleans(ends), line_break, nothing),
        nothing,
        null_handling="replace",
    )
    _, offsets, data = joined.buffers()
    size = int(memoryview(offsets).cast("q")[joined.offset + len(joined)])
    return memoryview(data)[:size] if data is not None else memoryview(b"")


@cache
def code_of_reading() -> str:
    """Return a digest of the code that reads annotation files and finds clips: another one may find something else."""
    modules = (annotation_columns, media_ids, media_lookup, media_files, video_index)
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    return xxhash.xxh3_64_hexdigest(code + column_cache.code_of_reading().encode())
