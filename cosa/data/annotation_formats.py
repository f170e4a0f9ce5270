"""The forms that an annotation file may have. To add one: a module that yields its entries, and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

from cosa.data.annotation_items import Item
from cosa.data.compressed import open_annotations, plain_suffix
from cosa.data.split_reading import USUAL, FieldNames
from cosa.errors import DataError
from cosa.message_text import shown

_DATA = "cosa.data"
FIRST_BYTES = 4096
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class AnnotationFormat(NamedTuple):
    """A form of annotation files.

    unit: what its places are counted in. suffixes: by which it is known. fits: whether first bytes look like it, for files of
    other names. items: the function, as "module:function", that yields the entries of a file.
    """

    name: str
    unit: str
    suffixes: tuple[str, ...]
    fits: Callable[[bytes], bool]
    items: str


FORMATS = (
    AnnotationFormat(
        "Parquet", "row", (".parquet",), lambda start: start.startswith(b"PAR1"), f"{_DATA}.parquet_items:parquet_items"
    ),
    AnnotationFormat(
        "JSON", "line", (".json", ".jsonl", ".ndjson"), lambda start: start.lstrip()[:1] in (b"[", b"{"),
        f"{_DATA}.json_items:json_items",
    ),
    AnnotationFormat(
        "TSV", "line", (".tsv", ".tab"), lambda start: b"\t" in _first_line(start), f"{_DATA}.table_items:tsv_items"
    ),
    AnnotationFormat("CSV", "line", (".csv",), lambda start: b"," in _first_line(start), f"{_DATA}.table_items:csv_items"),
)  # fmt: skip


def format_of(path: Path) -> AnnotationFormat:
    """The form of an annotation file: by its suffix, or by its first bytes if that says nothing.

    Raises:
        DataError: it cannot be read, or is of no known form.
    """
    suffix = plain_suffix(path)
    found = next((one for one in FORMATS if suffix in one.suffixes), None)
    if found is None:
        with open_annotations(path) as file:
            start = file.read(FIRST_BYTES).removeprefix(BYTE_ORDER_MARK)
        found = next((one for one in FORMATS if one.fits(start)), None)
    if found is None:
        known = ", ".join(one.name for one in FORMATS)
        raise DataError(f"{shown(path)} is none of {known}; give it a suffix that says what it is, such as .json or .csv")
    return found


def items_in(path: Path, names: FieldNames = USUAL) -> Iterator[Item]:
    """The entries of a file, one after the other. names: of the fields that are needed.

    Raises:
        DataError: it is missing, empty, or not of its form; the message names the line.
    """
    number = 0
    for item in resolve_name(format_of(path).items)(path, names):
        number += 1
        yield item
    if number == 0:
        raise DataError(f"{shown(path)} holds no entries; expected at least one")


def place_in(path: Path, line: int) -> str:
    """A place in an annotation file, for a message: its line or, of tables without lines, its row."""
    return f"{shown(path)}, {format_of(path).unit} {line}"


def _first_line(start: bytes) -> bytes:
    return start.partition(b"\n")[0]
