"""The file of a search index: vectors and where they come from, in one parquet file that is written in full or not at all.

The column `vector` has the bytes of each vector, float32, little-endian: `numpy.frombuffer(cell, "<f4")` reads one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cosa.errors import UserError

VERSION = 1
_HEADER = b"cosa.index"
_VECTOR = "vector"
_LEADS_OUT = r"^/|(^|/)\.\.(/|$)"
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


@dataclass(frozen=True)
class IndexHeader:
    """What an index is of.

    root: the folder of the files, absolute. checkpoint: where the model was, absolute or an address. weights: digest of its
    weights. settings: of how files were read. failed: files that could not be read, with their size, time, head and what was
    wrong.
    """

    root: str
    checkpoint: str
    weights: str
    settings: Mapping[str, Any]
    failed: Mapping[str, tuple[int, int, str, str]] = field(default_factory=dict)


def write_index(path: Path, header: IndexHeader, rows: pa.Table, vectors: NDArray[np.float32]) -> None:
    """Write an index over an older one, or a new one.

    Args:
        path: of the file; its folder exists.
        header: what it is of.
        rows: (rows) of `COLUMNS`.
        vectors: (rows, dim).

    Raises:
        OSError: the disk is full, or the folder cannot be written. The older index is as it was.
    """
    little_endian = np.ascontiguousarray(vectors, dtype="<f4")
    width = max(1, vectors.shape[1]) * little_endian.itemsize
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(vectors), [None, pa.py_buffer(little_endian)])
    about = json.dumps({"version": VERSION, **asdict(header)}).encode()
    table = rows.cast(COLUMNS).append_column(_VECTOR, column).replace_schema_metadata({_HEADER: about})
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Vectors of unit length do not compress. As bytes they are read many times as fast as lists of numbers are.
        codecs = {**dict.fromkeys(COLUMNS.names, "zstd"), _VECTOR: "none"}
        pq.write_table(table, beside, compression=codecs, use_dictionary=["path", "head"], write_statistics=False)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_index(path: Path) -> tuple[IndexHeader, pa.Table, NDArray[np.float32]]:
    """Read an index: its header, rows of `COLUMNS`, and vectors (rows, dim).

    Raises:
        UserError: it is missing, damaged, or no index.
    """
    if not path.is_file():
        raise UserError(f"{path.absolute()} {'is a folder' if path.is_dir() else 'does not exist'}; expected an index that "
                        "`cosa index` wrote")  # fmt: skip
    try:
        table = pq.read_table(path, memory_map=True)
        about = json.loads((table.schema.metadata or {})[_HEADER])
        version = about.pop("version")
        if version != VERSION:
            raise UserError(f"{path}: version {version} of an index, and this program reads {VERSION}; make it again")
        if pc.any(pc.match_substring_regex(table.column("path"), _LEADS_OUT)).as_py():
            raise ValueError("a path in it leads out of its folder")
        header = IndexHeader(**{**about, "failed": {name: tuple(one) for name, one in about["failed"].items()}})
        dim = table.schema.field(_VECTOR).type.byte_width // 4
        vectors = np.empty((len(table), dim), dtype=np.float32)
        done = 0
        for chunk in table.column(_VECTOR).chunks:
            vectors[done : done + len(chunk)] = _floats(chunk, dim)
            done += len(chunk)
        return header, table.select(COLUMNS.names), vectors
    except (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged, or no index ({error}); make it again with `cosa index`") from error


def _floats(chunk: pa.Array, dim: int) -> NDArray[np.float32]:
    """(rows, dim) of a chunk of the column of vectors, without a copy."""
    buffer = chunk.buffers()[1]
    flat = np.frombuffer(buffer, "<f4") if buffer is not None else np.empty(0, "<f4")
    return flat[chunk.offset * dim : (chunk.offset + len(chunk)) * dim].reshape(-1, dim)
