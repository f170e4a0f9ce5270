"""Arrow arrays from Python's and numpy's values, by their buffers: `pyarrow.array` would import pandas, for which a plan would
wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def strings(texts: Sequence[str | None]) -> pa.Array:
    """An array of texts, of type large_string. None gives null."""
    import numpy as np
    import pyarrow as pa

    encoded = [b"" if text is None else text.encode() for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
    buffers = [_validity(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)


def lists_of_strings(values: Sequence[Sequence[str] | None]) -> pa.Array:
    """An array of lists of texts, of type large_list. None gives null."""
    import numpy as np
    import pyarrow as pa

    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter((len(value or ()) for value in values), np.int64, len(values)), out=offsets[1:])
    inner = strings([text for value in values for text in value or ()])
    buffers = [_validity(values), pa.py_buffer(offsets)]
    return pa.Array.from_buffers(pa.large_list(pa.large_string()), len(values), buffers, children=[inner])


def integers(values: np.ndarray) -> pa.Array:
    """An array of whole numbers, of their own type, over the same memory."""
    import numpy as np
    import pyarrow as pa

    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def booleans(values: np.ndarray) -> pa.Array:
    """An array of truth values."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def _validity(values: Sequence[object]) -> pa.Buffer | None:
    import numpy as np

    is_there = np.fromiter((value is not None for value in values), bool, len(values))
    return None if is_there.all() else _bits(is_there)


def _bits(values: np.ndarray) -> pa.Buffer:
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(values, bitorder="little"))
