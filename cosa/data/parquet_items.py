"""The rows of a Parquet file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from cosa.data.annotation_items import Item
from cosa.data.compressed import BUFFER, HARMLESS, MOST_EXPANSION, compression_of, open_annotations
from cosa.data.split_reading import FieldNames
from cosa.data.table_items import used_columns
from cosa.errors import DataError
from cosa.message_text import shown

ROWS = 2**15  # that are read at once


def parquet_items(path: Path, names: FieldNames) -> Iterator[Item]:
    """Yield the rows of a file. Cells without a value are no fields.

    Raises:
        DataError: it is damaged, or expands to far more than its size.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _seekable(path) as content:
        try:
            file = pq.ParquetFile(content, buffer_size=BUFFER, pre_buffer=False)  # No group of rows is read in full.
            header = tuple(file.schema_arrow.names)
            used = used_columns(path, header, names)
            number, left = 0, max(HARMLESS, MOST_EXPANSION * path.stat().st_size)
            for batch in file.iter_batches(ROWS, columns=[name for name, _ in used], use_threads=False):
                left -= batch.nbytes
                if left < 0:
                    raise DataError(
                        f"{shown(path)} expands to over {MOST_EXPANSION} times its size, which annotations do not; write it "
                        "again without its repetitions"
                    )
                if not used:
                    yield Item(path, 1, 1, {}, header, has_lines=False)
                for number, row in enumerate(_rows(batch), start=number + 1):  # noqa: B020
                    yield Item(path, number, number, row, header, has_lines=False)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{shown(path)} is damaged, or no Parquet file ({str(error).splitlines()[0][:200]})") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{shown(path)}, row {number + 1} or one of the next {ROWS}: not UTF-8 text") from error


def _rows(batch: object) -> Iterator[dict[str, object]]:
    names = batch.schema.names  # type: ignore[attr-defined]
    for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):  # type: ignore[attr-defined]
        yield {name: value for name, value in zip(names, values, strict=True) if value is not None and value != ""}


def _seekable(path: Path) -> BinaryIO:
    """The file, or its content if something compressed it as a whole."""
    opened = open_annotations(path)
    if compression_of(path) is None:
        return opened
    content = TemporaryFile()  # noqa: SIM115  the caller closes it
    with opened:
        shutil.copyfileobj(opened, content)
    content.seek(0)
    return content
