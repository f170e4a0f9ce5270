"""Indexes that are damaged, or that somebody has edited: one sentence with the file's name, and nothing else."""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from cosa.errors import UserError
from cosa.inference.index_file import COLUMNS, IndexHeader, read_index, write_index
from cosa.inference.index_settings import IndexSettings
from cosa.inference.segments import Segmentation
from cosa.inference.settings import InferenceSettings

KEY = b"cosa.index"
HEADER = IndexHeader(
    root="/media",
    checkpoint="/checkpoint",
    weights="0",
    settings=IndexSettings.of(InferenceSettings(eval_frames=2), Segmentation()),
    failed={"bad.mp4": (1, 2, "3", "no video")},
)
ODD: tuple[Any, ...] = (None, True, -1, 0, 1e400, "", "hf:somebody/x", "a\0b", "\udcff", [], [1], {}, {"a": 1}, [[["a"]]])
ROWS = pa.Table.from_pylist(
    [
        {"path": f"{n}.mp4", "start": n or None, "end": n + 1 if n else None, "bytes": 1, "modified": 1, "head": "a"}
        for n in range(4)
    ],
    COLUMNS,
)
VECTORS = np.eye(4, 8, dtype=np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_index(tmp_path / "a.index", HEADER, ROWS, VECTORS)
    return tmp_path / "a.index"


def edited(file: Path, about: Any = None, column: str = "", values: pa.Array | None = None) -> None:
    """Write an index again as any parquet library would, with another header, or without a column or with another one."""
    table = pq.read_table(file)
    if about is not None:
        table = table.replace_schema_metadata({KEY: about if isinstance(about, bytes) else json.dumps(about).encode()})
    if column:
        place = table.schema.get_field_index(column)
        table = table.remove_column(place) if values is None else table.set_column(place, column, values)
    pq.write_table(table, file)


def places_in(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each value in a header."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, one in inner:
        yield (*above, key)
        yield from places_in(one, (*above, key))


@pytest.mark.parametrize("content", [b"", b"PAR", b"\0\0\0 ftypisom" * 9])
def test_nobody_is_asked_to_remove_what_is_no_index(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    assert refused(tmp_path / "film.mp4").endswith("film.mp4 is no index; expected one that `cosa index` wrote")


def test_a_parquet_file_of_something_else(file: Path) -> None:
    pq.write_table(pq.read_table(file).replace_schema_metadata(), file)
    assert refused(file).endswith("is no index; expected one that `cosa index` wrote")


DIGEST = xxhash.xxh3_64_hexdigest(VECTORS.tobytes())
ABOUT: Any = json.loads(json.dumps({"version": 2, "digest": DIGEST, **HEADER.model_dump(mode="json")}))


def refused(file: Path) -> str:
    with pytest.raises(UserError) as raised:
        read_index(file)
    text = str(raised.value)
    assert str(file) in text
    assert "\n" not in text
    assert len(text) < 300 + len(str(file))
    return text


def test_what_is_written_is_read(file: Path) -> None:
    header, rows, vectors = read_index(file)
    assert (header, rows) == (HEADER, ROWS)
    assert np.array_equal(vectors, VECTORS)
    edited(file, ABOUT)
    assert read_index(file)[0] == HEADER, "the tests below change one thing of what can be read"


@pytest.mark.parametrize("keys", list(places_in(ABOUT)), ids=lambda keys: ".".join(map(str, keys)))
def test_fields_of_other_types_or_without_a_value(file: Path, keys: tuple[Any, ...]) -> None:
    for odd in (*ODD, "absent"):
        about = copy.deepcopy(ABOUT)
        inner = about
        for key in keys[:-1]:
            inner = inner[key]
        if odd == "absent":
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = odd
        edited(file, about)
        try:
            header, _, _ = read_index(file)
        except UserError as error:
            assert str(file) in str(error)
        else:
            assert Path(header.root).is_absolute()
            assert Path(header.checkpoint).is_absolute()


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({**ABOUT, "root": "clips"}, "root: Value error, expected an absolute path, found 'clips'"),
        ({**ABOUT, "checkpoint": "hf:a/b"}, "checkpoint: Value error, expected an absolute path"),
        ({**ABOUT, "settings": {}}, "settings.frames: Field required"),
        ({**ABOUT, "more": 1}, "more: Extra inputs are not permitted"),
        ({**ABOUT, "version": 1}, "version 1 of an index, and this program reads 2"),
        ([1], "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b"\xff", "is damaged"),
    ],
)
def test_headers_that_say_something_else(file: Path, about: Any, says: str) -> None:
    edited(file, about)
    assert says in refused(file)


TIMES = pa.array([0.0] * 4)


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("path", None, "path"),
        ("vector", None, "vector"),
        ("path", pa.array([1, 2, 3, 4]), "its columns are path: int64"),
        ("path", pa.array(["a", None, "b", "c"]), "rows lack fields"),
        ("path", pa.array(["a", "", "b", "c"]), "a path in it leads out of its folder"),
        ("path", pa.array(["a", "b\0c", "b", "c"]), "a path in it leads out of its folder"),
        ("path", pa.array([b"a", b"\xff", b"b", b"c"]).view(pa.string()), "UTF8"),
        ("start", pa.array([0, 1, 2, 3]), "its columns are"),
        ("start", pa.array([None, np.nan, 1.0, 1.0]), "times in it are no parts of videos"),
        ("start", pa.array([None, -1.0, 1.0, 1.0]), "times in it are no parts of videos"),
        ("start", pa.array([None, 2.0, 1.0, 1.0]), "times in it are no parts of videos"),
        ("end", pa.array([1.0, 2.0, 3.0, 4.0]), "times in it are no parts of videos"),
        ("end", pa.array([None, np.inf, 3.0, 4.0]), "times in it are no parts of videos"),
        ("vector", pa.array([b"abc"] * 4, pa.binary(3)), "its vectors are fixed_size_binary[3]"),
        ("vector", pa.array([b"abcd"] * 4), "its vectors are binary"),
        ("vector", pa.array([b"abcd", None, b"abcd", b"abcd"], pa.binary(4)), "its vectors are"),
        ("vector", pa.array([b"\xff" * 32] * 4, pa.binary(32)), "not of unit length"),
        ("vector", pa.array([b"\0" * 32] * 4, pa.binary(32)), "not of unit length"),
        ("vector", pa.array([row.tobytes() for row in VECTORS[::-1]], pa.binary(32)), "not those that were written"),
        ("vector", pa.array([[1.0]] * 4), "its vectors are list"),
    ],
)
def test_columns_that_no_index_has(file: Path, column: str, values: pa.Array | None, says: str) -> None:
    edited(file, None, column, values)
    assert says in refused(file)


def test_vectors_that_are_no_directions_are_not_written(file: Path) -> None:
    for bad in (np.nan, 2.0):
        with pytest.raises(ValueError, match="not of unit length"):
            write_index(file, HEADER, ROWS, np.full((4, 8), bad, dtype=np.float32))
    assert len(read_index(file)[2]) == 4


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_rows_and_vectors_are_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.index"
    write_index(file, HEADER, ROWS, VECTORS)
    content = bytearray(file.read_bytes())
    begin = data.draw(st.integers(0, len(content) - 1))
    kept = data.draw(st.binary(min_size=0, max_size=8))
    content[begin : begin + data.draw(st.integers(0, 8))] = kept
    file.write_bytes(content)
    try:
        _, rows, vectors = read_index(file)
    except UserError as error:
        assert str(file) in str(error)
        assert "\n" not in str(error)
    else:
        assert rows.equals(ROWS)
        assert np.array_equal(vectors, VECTORS)
