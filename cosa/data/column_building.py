"""Builds the columns of an annotation file from its entries, in memory or in files of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash

from cosa.data.annotation_columns import BLOCK, AnnotationColumns, AnnotationSource
from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import caption_rows, questions_in
from cosa.data.arrow_arrays import booleans, integers, lists_of_strings, strings
from cosa.data.media_numbering import numbered

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ROWS_FILE, TEXTS_FILE, IDS_FILE, ROW_IDS_FILE = "rows.arrow", "texts.arrow", "ids.arrow", "row_ids.arrow"
Row = tuple[Any, ...]  # identifier, number and line of an entry, and texts in the order of the columns


def build_columns(source: AnnotationSource, folder: Path | None = None) -> AnnotationColumns:
    """The columns of all entries of a file. folder: where they are written; None: they are held in memory.

    Raises:
        DataError: the file or one of its entries is not of its form.
        OSError: the folder cannot be written.
    """
    return columns_from(source, _FORMS[source.kind].rows(source), text_schema(source.kind), folder)


def text_schema(kind: AnnotationKind) -> pa.Schema:
    """The columns of texts of a kind of files."""
    import pyarrow as pa

    form, text = _FORMS[kind], pa.large_string()
    return pa.schema([(name, pa.large_list(text) if name in form.lists else text) for name in form.columns])


def columns_from(
    source: AnnotationSource, rows: Iterator[Row], schema: pa.Schema, folder: Path | None = None
) -> AnnotationColumns:
    """Columns of rows. schema: of the texts. folder: where they are written; None: they are held in memory."""
    import numpy as np
    import pyarrow as pa

    name = pa.schema([("id", pa.large_string())])
    hashes, entries, lines = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    with ExitStack() as files:
        row_ids, texts = _Table(folder, ROW_IDS_FILE, name, files), _Table(folder, TEXTS_FILE, schema, files)
        while block := list(islice(rows, BLOCK)):
            ids, of_entries, of_lines, *values = zip(*block, strict=True)
            hashes.append(np.fromiter(map(xxhash.xxh3_64_intdigest, map(str.encode, ids)), np.uint64, len(ids)))
            entries.append(np.array(of_entries, np.int32))
            lines.append(np.array(of_lines, np.int32))
            row_ids.write([strings(ids)])
            texts.write([_array(of_field, field.type) for of_field, field in zip(values, schema, strict=True)])
        every_id, every_text = row_ids.table(), texts.table()
        every_hash = [np.concatenate(hashes)]
        hashes.clear()
        media, first = numbered(every_hash.pop(), every_id.column("id"))
        unique, numbers = _Table(folder, IDS_FILE, name, files), _Table(folder, ROWS_FILE, _row_schema(), files)
        is_first = np.zeros(len(media), dtype=bool)
        is_first[first] = True
        unique.write([_filtered(every_id.column("id"), is_first)])
        numbers.write([integers(column) for column in (media, np.concatenate(entries), np.concatenate(lines))])
        return columns_of_tables(source, numbers.table(), every_text, unique.table())


def columns_of_tables(source: AnnotationSource, rows: pa.Table, texts: pa.Table, ids: pa.Table) -> AnnotationColumns:
    """Columns from the tables of their three files. rows and ids have one chunk each."""
    import numpy as np

    arrays = (rows.column(name).chunk(0) for name in ("media", "entry", "line"))
    media, entries, lines = (np.frombuffer(array.buffers()[1], np.int32, len(array)) for array in arrays)
    return AnnotationColumns(source, media, entries, lines, texts, ids.column("id").chunk(0))


def _caption_rows(source: AnnotationSource) -> Iterator[Row]:
    """Rows of captions, which may lack: what needs them asks for them later, with `AnnotationColumns.require`."""
    return _rows_with_captions(source, require_captions=False)


def _reference_rows(source: AnnotationSource) -> Iterator[Row]:
    return _rows_with_captions(source, require_captions=True)


def _rows_with_captions(source: AnnotationSource, *, require_captions: bool) -> Iterator[Row]:
    entries = caption_rows(source.path, require_captions, source.reading.names)
    for entry, (media_id, captions, line) in enumerate(entries):
        for caption in captions or (None,):
            yield media_id, entry, line, caption


def _question_rows(source: AnnotationSource) -> Iterator[Row]:
    for number, one in enumerate(questions_in(source.path, require_answers=False, names=source.reading.names)):
        yield one.video_id, number, one.line, one.question, list(one.answers) or None, one.question_id, one.question_type


class _Form(NamedTuple):
    """How the entries of a kind of files become rows. columns: of texts. lists: which of these hold lists of texts."""

    rows: Callable[[AnnotationSource], Iterator[Row]]
    columns: tuple[str, ...] = ("text",)
    lists: tuple[str, ...] = ()


_FORMS: Mapping[AnnotationKind, _Form] = {
    "captions": _Form(_caption_rows),
    "references": _Form(_reference_rows),
    "questions": _Form(_question_rows, ("question", "answers", "question_id", "question_type"), ("answers",)),
}


def _array(values: Any, of: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return lists_of_strings(values) if pa.types.is_large_list(of) else strings(values)


def _row_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("media", pa.int32()), ("entry", pa.int32()), ("line", pa.int32())])


def _filtered(ids: pa.ChunkedArray, wanted: np.ndarray) -> pa.Array:
    """Those of some identifiers that are wanted, in one array, from which any can be taken without joining others."""
    import pyarrow as pa

    found, start = [strings([])], 0
    for chunk in ids.iterchunks():
        found.append(chunk.filter(booleans(wanted[start : start + len(chunk)])))
        start += len(chunk)
    return pa.concat_arrays(found)


class _Table:
    """Batches of columns, in memory or in a file that is mapped when it is complete."""

    def __init__(self, folder: Path | None, name: str, schema: pa.Schema, files: ExitStack):
        import pyarrow as pa

        self._path, self._schema = None if folder is None else str(folder / name), schema
        self._batches: list[pa.RecordBatch] = []
        self._writer: Any = None
        if self._path is not None:
            self._file = files.enter_context(pa.OSFile(self._path, "wb"))
            self._writer = pa.ipc.new_file(self._file, schema)

    def write(self, columns: list[pa.Array]) -> None:
        """Add rows, by column."""
        import pyarrow as pa

        batch = pa.record_batch(columns, schema=self._schema)
        if self._writer is None:
            self._batches.append(batch)
        else:
            self._writer.write_batch(batch)

    def table(self) -> pa.Table:
        """All rows; nothing can be written any more."""
        import pyarrow as pa

        if self._writer is None:
            return pa.Table.from_batches(self._batches, self._schema)
        self._writer.close()
        self._file.close()
        return pa.ipc.open_file(pa.memory_map(str(self._path))).read_all()
