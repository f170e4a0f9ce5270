"""A cache of the columns of large annotation files: a folder, where all processes find and map them."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import xxhash

from cosa.checksums import digest_of
from cosa.data import (
    annotation_formats,
    annotation_items,
    arrow_arrays,
    column_building,
    compressed,
    json_items,
    media_ids,
    media_numbering,
    parquet_items,
    split_reading,
    table_items,
)
from cosa.data import annotations as entries_of
from cosa.data.annotation_columns import AnnotationColumns, AnnotationSource
from cosa.data.annotation_use import AnnotationKind
from cosa.data.annotations import media_ids_in
from cosa.data.column_building import (
    IDS_FILE,
    ROW_IDS_FILE,
    ROWS_FILE,
    TEXTS_FILE,
    build_columns,
    columns_from,
    columns_of_tables,
    text_schema,
)
from cosa.errors import DataError

ANY_KIND: AnnotationKind = "captions"  # which entries may lack, so that files of questions can be read as such
CACHED_FROM = 2**20  # bytes; smaller files are read again in milliseconds


def columns_of(source: AnnotationSource, folder: Path | None = None) -> AnnotationColumns:
    """The columns of an annotation file: of the clips that `source.reading` chooses.

    Args:
        source: the file.
        folder: of the cache; left out, or if it cannot be written: the columns are built in memory.

    Raises:
        DataError: the file or one of its entries is not of its form.
    """
    found = None
    if folder is not None and folder.parent.is_dir() and _size(source.path) >= CACHED_FROM:
        with suppress(OSError):  # If it is the annotation file that cannot be read, the next lines report it.
            found = _cached(source, folder)
    return (build_columns(source) if found is None else found).part()


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
        annotation_formats, annotation_items, entries_of, arrow_arrays, column_building, compressed, json_items, media_ids,
        media_numbering, parquet_items, split_reading, table_items,
    )  # fmt: skip
    files = (Path(str(module.__file__)) for module in modules)
    return xxhash.xxh3_64_hexdigest(b"".join(file.read_bytes() for file in (*files, Path(__file__))))


def _size(path: Path) -> int:
    """The size of a file; 0 if there is none, which is reported by whoever opens it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _cached(source: AnnotationSource, folder: Path) -> AnnotationColumns | None:
    """The columns from the cache, where they are stored first if they are not there."""
    entry = folder / _name(source)
    found = _opened(source, entry)
    if found is not None:
        return found
    with _alone(folder, entry.name):
        found = _opened(source, entry)  # Another process may have stored them meanwhile.
        return _stored(source, entry) if found is None else found


def _name(source: AnnotationSource) -> str:
    form = annotation_formats.format_of(source.path).name
    about = f"{source.kind} {source.reading.columns} {form} {code_of_reading()}"
    return f"{digest_of(source.path)}-{xxhash.xxh3_64_hexdigest(about.encode())}"


def _opened(source: AnnotationSource, entry: Path) -> AnnotationColumns | None:
    """Map the columns of an entry; None if there is none, or a damaged one."""
    import pyarrow as pa

    if not entry.is_dir():
        return None
    try:
        tables = [pa.ipc.open_file(pa.memory_map(str(entry / name))).read_all() for name in (ROWS_FILE, TEXTS_FILE, IDS_FILE)]
    except (OSError, pa.ArrowException):
        shutil.rmtree(entry, ignore_errors=True)
        return None
    with suppress(OSError):  # The time shows when they were used last.
        os.utime(entry)
    return columns_of_tables(source, *tables)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Let one process of several build columns; the others wait for it. The lock is released when its holder dies."""
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


def _stored(source: AnnotationSource, entry: Path) -> AnnotationColumns | None:
    """Build columns, and publish them by one rename when they are on the disk."""
    import pyarrow as pa

    unfinished = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}")
    unfinished.mkdir()
    try:
        build_columns(source, unfinished)
        (unfinished / ROW_IDS_FILE).unlink()
        for path in (*unfinished.iterdir(), unfinished):
            _flush(path)
        with suppress(OSError):  # A process without locks has stored the same meanwhile.
            unfinished.rename(entry)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        pa.default_memory_pool().release_unused()
    return _opened(source, entry)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # Some network file systems flush no folders.
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
