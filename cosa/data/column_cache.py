"""Makes the columns of annotation files, and keeps those of large files in a folder, where all processes find and map them."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from cosa.checksums import digest_of
from cosa.data import (
    annotation_formats,
    annotation_items,
    compressed,
    json_items,
    media_ids,
    parquet_items,
    split_reading,
    table_items,
)
from cosa.data import annotations as entries_of
from cosa.data.annotation_columns import BLOCK, AnnotationColumns, AnnotationSource
from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import caption_rows, media_ids_in, questions_in
from cosa.data.arrow_arrays import booleans, integers, lists_of_strings, strings
from cosa.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ANY_KIND: AnnotationKind = "captions"  # which entries may lack, so that files of questions can be read as such
KEPT_FROM = 2**20  # bytes; smaller files are read again in milliseconds
ROWS_FILE, TEXTS_FILE, IDS_FILE, UNSORTED_FILE = "rows.arrow", "texts.arrow", "ids.arrow", "unsorted.arrow"
Row = tuple[Any, ...]  # identifier, number and line of an entry, and texts in the order of the columns


def columns_of(source: AnnotationSource, folder: Path | None = None) -> AnnotationColumns:
    """The columns of an annotation file: of the clips that `source.reading` chooses.

    Args:
        source: the file.
        folder: of columns that are kept; left out, or if it cannot be written: they are made in memory.

    Raises:
        DataError: the file or one of its entries is not of its form.
    """
    if folder is None or not folder.parent.is_dir() or _size(source.path) < KEPT_FROM:
        return _made(source, None).part()
    kept = folder / _name(source)
    found = _opened(source, kept)
    if found is None:
        with suppress(OSError), _alone(folder, kept.name):
            found = _opened(source, kept) or _keep(source, kept)
    return (found or _made(source, None)).part()


def _size(path: Path) -> int:
    """The size of a file; 0 if there is none, which is said by whoever opens it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def naming_columns(source: AnnotationSource, folder: Path | None = None) -> AnnotationColumns:
    """Columns whose identifiers are those of an annotation file of any kind; its texts may be of another, or wrong.

    Raises:
        DataError: the file cannot be read, or an entry has no usable identifier.
    """
    for kind in dict.fromkeys((ANY_KIND, source.kind)):
        with suppress(DataError):
            return columns_of(replace(source, kind=kind), folder)
    ids = enumerate(media_ids_in(source.path, source.reading.names))
    rows = ((media_id, number, 0, None) for number, media_id in ids)
    return columns_from(replace(source, kind=ANY_KIND), rows, text_schema(ANY_KIND)).part()


@cache
def code_of_reading() -> str:
    """A digest of the code that reads annotation files: another one may read something else."""
    modules = (
        annotation_formats, annotation_items, entries_of, compressed, json_items, media_ids, parquet_items, split_reading,
        table_items,
    )  # fmt: skip
    files = (Path(str(module.__file__)) for module in modules)
    return xxhash.xxh3_64_hexdigest(b"".join(file.read_bytes() for file in (*files, Path(__file__))))


def _name(source: AnnotationSource) -> str:
    about = f"{source.kind} {source.reading.columns} {_format(source)} {code_of_reading()}"
    return f"{digest_of(source.path)}-{xxhash.xxh3_64_hexdigest(about.encode())}"


def _format(source: AnnotationSource) -> str:
    return annotation_formats.format_of(source.path).name


def _opened(source: AnnotationSource, kept: Path) -> AnnotationColumns | None:
    """Map columns that are kept; None if there are none, or damaged ones."""
    import pyarrow as pa

    if not kept.is_dir():
        return None
    try:
        tables = [pa.ipc.open_file(pa.memory_map(str(kept / name))).read_all() for name in (ROWS_FILE, TEXTS_FILE, IDS_FILE)]
    except (OSError, pa.ArrowException):
        shutil.rmtree(kept, ignore_errors=True)
        return None
    with suppress(OSError):  # It says when they were used last.
        os.utime(kept)
    return _columns(source, *tables)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Let one process of several make columns; the others wait for it. It ends its hold also by dying."""
    import fcntl

    folder.mkdir(exist_ok=True)
    path = folder / f".{name}.lock"
    with path.open("w") as file:
        with suppress(OSError):  # Some network file systems have no locks: the same work is done twice then.
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _keep(source: AnnotationSource, kept: Path) -> AnnotationColumns | None:
    """Make columns, and publish them by one rename when they are on the disk."""
    import pyarrow as pa

    made = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}")
    made.mkdir()
    try:
        _made(source, made)
        (made / UNSORTED_FILE).unlink()
        for path in (*made.iterdir(), made):
            _flush(path)
        with suppress(OSError):  # Somebody who knew no lock was faster, with the same.
            made.rename(kept)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        pa.default_memory_pool().release_unused()
    return _opened(source, kept)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # Some network file systems flush no folders.
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- making them ------------------------------------------------------------------------------------------------------


def _caption_rows(source: AnnotationSource) -> Iterator[Row]:
    """Rows of captions. Only references need a caption in each entry, whatever reads them."""
    entries = caption_rows(source.path, source.kind == "references", source.reading.names)
    for entry, (media_id, captions, line) in enumerate(entries):
        for caption in captions or (None,):
            yield media_id, entry, line, caption


def _question_rows(source: AnnotationSource) -> Iterator[Row]:
    for number, one in enumerate(questions_in(source.path, require_answers=False, names=source.reading.names)):
        yield one.video_id, number, one.line, one.question, list(one.answers) or None, one.question_id, one.question_type


_ROWS: Mapping[AnnotationKind, Callable[[AnnotationSource], Iterator[Row]]] = {
    "captions": _caption_rows,
    "references": _caption_rows,
    "questions": _question_rows,
}


def text_schema(kind: AnnotationKind) -> pa.Schema:
    """The columns of texts."""
    import pyarrow as pa

    text = pa.large_string()
    if kind != "questions":
        return pa.schema([("text", text)])
    return pa.schema([("question", text), ("answers", pa.large_list(text)), ("question_id", text), ("question_type", text)])


def _made(source: AnnotationSource, folder: Path | None) -> AnnotationColumns:
    """Read a file. folder: where the columns are written; None: they are held in memory."""
    return columns_from(source, _ROWS[source.kind](source), text_schema(source.kind), folder)


def columns_from(
    source: AnnotationSource, rows: Iterator[Row], schema: pa.Schema, folder: Path | None = None
) -> AnnotationColumns:
    """Columns of rows. schema: of the texts. folder: where they are written; None: they are held in memory."""
    import numpy as np
    import pyarrow as pa

    name = pa.schema([("id", pa.large_string())])
    hashes, entries, lines = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    with ExitStack() as files:
        unsorted, texts = _Table(folder, UNSORTED_FILE, name, files), _Table(folder, TEXTS_FILE, schema, files)
        while block := list(islice(rows, BLOCK)):
            ids, of_entries, of_lines, *values = zip(*block, strict=True)
            hashes.append(np.fromiter(map(xxhash.xxh3_64_intdigest, map(str.encode, ids)), np.uint64, len(ids)))
            entries.append(np.array(of_entries, np.int32))
            lines.append(np.array(of_lines, np.int32))
            unsorted.write([strings(ids)])
            texts.write([_array(of_field, field.type) for of_field, field in zip(values, schema, strict=True)])
        every_id, said = unsorted.table(), texts.table()
        every_hash = [np.concatenate(hashes)]
        hashes.clear()
        media, first = _numbered(every_hash.pop(), every_id.column("id"))
        unique, numbers = _Table(folder, IDS_FILE, name, files), _Table(folder, ROWS_FILE, _row_schema(), files)
        is_first = np.zeros(len(media), dtype=bool)
        is_first[first] = True
        unique.write([_filtered(every_id.column("id"), is_first)])
        numbers.write([integers(column) for column in (media, np.concatenate(entries), np.concatenate(lines))])
        return _columns(source, numbers.table(), said, unique.table())


def _array(values: Any, of: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return lists_of_strings(values) if pa.types.is_large_list(of) else strings(values)


def _row_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("media", pa.int32()), ("entry", pa.int32()), ("line", pa.int32())])


def _columns(source: AnnotationSource, rows: pa.Table, texts: pa.Table, ids: pa.Table) -> AnnotationColumns:
    import numpy as np

    arrays = (rows.column(name).chunk(0) for name in ("media", "entry", "line"))
    media, entries, lines = (np.frombuffer(array.buffers()[1], np.int32, len(array)) for array in arrays)
    return AnnotationColumns(source, media, entries, lines, texts, ids.column("id").chunk(0))


def _filtered(ids: pa.ChunkedArray, wanted: np.ndarray) -> pa.Array:
    """Those of some identifiers that are wanted, in one array, from which any can be taken without joining others."""
    import pyarrow as pa

    found, start = [strings([])], 0
    for chunk in ids.iterchunks():
        found.append(chunk.filter(booleans(wanted[start : start + len(chunk)])))
        start += len(chunk)
    return pa.concat_arrays(found)


def _numbered(hashes: np.ndarray, ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
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

    whole = ids.combine_chunks()
    return all(
        pc.all(pc.equal(whole.slice(start, BLOCK), whole.take(integers(first[media[start : start + BLOCK]])))).as_py()
        for start in range(0, len(media), BLOCK)
    )


def _numbered_exactly(ids: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """What `_numbered` gives, if two identifiers have the same hash."""
    import numpy as np

    known: dict[str, int] = {}
    media = np.fromiter((known.setdefault(str(one), len(known)) for one in ids), np.int32, len(ids))
    return media, np.unique(media, return_index=True)[1]


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
