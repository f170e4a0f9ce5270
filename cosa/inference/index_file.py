"""The file of a search index: vectors and where they come from, in one parquet file that is written in full or not at all.

The column `vector` has the bytes of each vector, float32, little-endian: `numpy.frombuffer(cell, "<f4")` reads one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from xxhash import xxh3_64_hexdigest

from cosa.errors import UserError
from cosa.inference.index_settings import IndexSettings
from cosa.message_text import shown
from cosa.replaced_file import replacing
from cosa.section import Section, checked

VERSION = 2
_PARQUET = b"PAR1"  # Every parquet file begins so.
_HEADER = b"cosa.index"
_VECTOR = "vector"
_LEADS_OUT = r"^$|^/|(^|/)\.\.(/|$)|\x00"
_UNIT = 0.01  # how far squared lengths may be from 1: published models round vectors to float16
_LATEST = 1e9  # seconds into a video
_LONGEST_REASON = 200  # characters
COLUMNS = pa.schema(
    [
        ("path", pa.string()),  # below the root
        ("start", pa.float64()),  # seconds; null for a full file
        ("end", pa.float64()),
        ("bytes", pa.int64()),
        ("modified", pa.int64()),  # nanoseconds since the epoch
        ("head", pa.string()),  # digest of the file's beginning
    ]
)


def _absolute(path: str) -> str:
    if not Path(path).is_absolute() or "\0" in path:
        raise ValueError("expected an absolute path")
    return path


AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class IndexHeader(Section):
    """What an index is of."""

    root: AbsolutePath = Field(description="the folder of the files")
    checkpoint: AbsolutePath = Field(description="where the model was")
    weights: str = Field(description="digest of its weights")
    settings: IndexSettings
    failed: Mapping[str, tuple[int, int, str, str]] = Field(
        default_factory=dict, description="files that could not be read: size, time, head, and what was wrong"
    )


def write_index(path: Path, header: IndexHeader, rows: pa.Table, vectors: NDArray[np.float32]) -> None:
    """Write an index over an older one, or a new one.

    Args:
        path: of the file; its folder exists.
        header: what it is of.
        rows: (rows) of `COLUMNS`.
        vectors: (rows, dim), unit length.

    Raises:
        OSError: the disk is full, or the folder cannot be written. The older index is as it was.
        ValueError: a vector is not of unit length.
    """
    little_endian = np.ascontiguousarray(vectors, dtype="<f4")
    _check_unit_length(little_endian)
    width = max(1, vectors.shape[1]) * little_endian.itemsize
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(vectors), [None, pa.py_buffer(little_endian)])
    known = {"version": VERSION, "digest": xxh3_64_hexdigest(little_endian.data)}
    about = json.dumps({**known, **header.model_dump(mode="json")}).encode()
    table = rows.cast(COLUMNS).append_column(_VECTOR, column).replace_schema_metadata({_HEADER: about})
    # Vectors of unit length do not compress. As bytes they are read many times as fast as lists of numbers are.
    codecs = {**dict.fromkeys(COLUMNS.names, "zstd"), _VECTOR: "none"}
    with replacing(path) as beside:
        pq.write_table(
            table, beside, compression=codecs, use_dictionary=["path", "head"], write_statistics=False, write_page_checksum=True
        )


def read_index(path: Path) -> tuple[IndexHeader, pa.Table, NDArray[np.float32]]:
    """Read an index: its header, rows of `COLUMNS`, and vectors (rows, dim).

    Raises:
        UserError: it is missing, damaged, or no index.
    """
    check_is_index(path)
    try:
        with pa.memory_map(str(path)) as file:
            # Parquet's own checksums are slow: they are verified of what is small.
            table = pq.read_table(file, columns=COLUMNS.names, page_checksum_verification=True)
            column = pq.read_table(file, columns=[_VECTOR]).column(0)
        about = json.loads((table.schema.metadata or {})[_HEADER])
        version, digest = about.pop("version", None), about.pop("digest", None)
        if version != VERSION:
            raise UserError(
                f"{path}: version {version} of an index, and this program reads {VERSION}; remove it, and make it again"
            )
        header, rows, vectors = _header(about), _rows(table), _vectors(column)
        if xxh3_64_hexdigest(vectors.data) != digest or len(vectors) != len(rows):
            raise ValueError("vectors in it are not those that were written")
        return header, rows, vectors
    except PermissionError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); expected an index that `cosa index` wrote") from error
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = shown(str(error).partition("\n")[0][:_LONGEST_REASON])
        raise UserError(f"{path} is damaged ({reason}); remove it, and make it again with `cosa index`") from error


def check_is_index(path: Path, advice: str = "expected one that `cosa index` wrote") -> None:
    """Raise UserError if a file is something else than an index: nobody should be asked to remove a video of theirs.

    Whether an index is damaged is not looked at. advice: what to do instead.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no file" if path.exists() else "does not exist"
        raise UserError(f"{path.absolute()} {what}; expected an index that `cosa index` wrote")
    try:
        with path.open("rb") as file:
            is_index = file.read(len(_PARQUET)) == _PARQUET
        is_index = is_index and _HEADER in (pq.read_schema(path).metadata or {})
    except OSError as error:
        if error.errno is None:  # pyarrow's, of what is damaged
            return
        raise UserError(f"{path} cannot be read ({error.strerror}); expected an index that `cosa index` wrote") from error
    except (pa.ArrowException, ValueError):
        return
    if not is_index:
        raise UserError(f"{path} is no index; {advice}")


def _header(about: Mapping[str, Any]) -> IndexHeader:
    try:
        return checked(IndexHeader, about)
    except UserError as error:
        raise ValueError(str(error)) from error


def _rows(table: pa.Table) -> pa.Table:
    """The rows of `COLUMNS`.

    Raises:
        ValueError, KeyError, pyarrow.ArrowException: they are not what an index has.
    """
    rows = table.select(COLUMNS.names).replace_schema_metadata()
    if rows.schema != COLUMNS:
        raise ValueError(f"its columns are {', '.join(f'{one.name}: {one.type}' for one in rows.schema)}")
    rows.validate(full=True)
    if any(rows.column(name).null_count for name in ("path", "bytes", "modified", "head")):
        raise ValueError("rows lack fields")
    if pc.any(pc.match_substring_regex(rows.column("path"), _LEADS_OUT)).as_py():
        raise ValueError("a path in it leads out of its folder")
    start, end = rows.column("start"), rows.column("end")
    starts, ends = (column.drop_null().to_numpy() for column in (start, end))
    if not start.is_null().equals(end.is_null()) or not ((starts >= 0) & (starts < ends) & (ends < _LATEST)).all():
        raise ValueError("times in it are no parts of videos")
    return rows


def _vectors(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """The vectors, (rows, dim).

    Raises:
        ValueError: they are none.
    """
    if not pa.types.is_fixed_size_binary(column.type) or column.type.byte_width % 4 or column.null_count:
        raise ValueError(f"its vectors are {column.type}")
    dim = column.type.byte_width // 4
    vectors = np.empty((len(column), dim), dtype=np.float32)
    done = 0
    for chunk in column.chunks:
        vectors[done : done + len(chunk)] = _floats(chunk, dim)
        _check_unit_length(vectors[done : done + len(chunk)])
        done += len(chunk)
    return vectors


def _floats(chunk: pa.Array, dim: int) -> NDArray[np.float32]:
    """(rows, dim) of a chunk of the column of vectors, without a copy."""
    buffer = chunk.buffers()[1]
    flat = np.frombuffer(buffer, "<f4") if buffer is not None else np.empty(0, "<f4")
    return flat[chunk.offset * dim : (chunk.offset + len(chunk)) * dim].reshape(-1, dim)


def of_unit_length(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of (rows, dim) have unit length; those that are not finite have not."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
        return np.asarray(np.abs(squares - 1) < _UNIT)


def _check_unit_length(vectors: NDArray[np.float32]) -> None:
    if not of_unit_length(vectors).all():
        raise ValueError("vectors in it are not of unit length")
