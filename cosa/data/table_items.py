"""The rows of a table of text, with commas or tabs between cells (RFC 4180: quotes, line breaks inside of them)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path

from cosa.data.annotation_items import Item
from cosa.data.compressed import open_annotations
from cosa.data.not_utf8 import not_utf8
from cosa.data.split_reading import FieldNames
from cosa.errors import DataError
from cosa.message_text import quoted, shown


def csv_items(path: Path, names: FieldNames) -> Iterator[Item]:
    """Yield the rows of a table whose cells are separated by commas; errors as of `json_items`."""
    return _items(path, names, ",")


def tsv_items(path: Path, names: FieldNames) -> Iterator[Item]:
    """Yield the rows of a table whose cells are separated by tabs; errors as of `json_items`."""
    return _items(path, names, "\t")


def used_columns(path: Path, header: Sequence[str], names: FieldNames) -> list[tuple[str, int]]:
    """Name and place of the columns that mean something: one for each field, of several the first of its names.

    Raises:
        DataError: one of them appears twice.
    """
    chosen = [next((name for name in of_field if name in header), None) for of_field in names]
    for name in filter(None, chosen):
        if list(header).count(name) > 1:
            raise DataError(f"{shown(path)}: column {quoted(name)} appears twice; keep one")
    return [(name, list(header).index(name)) for name in dict.fromkeys(filter(None, chosen))]


def _items(path: Path, names: FieldNames, separator: str) -> Iterator[Item]:
    with TextIOWrapper(open_annotations(path), encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            yield from _rows(path, reader, names, separator)
        except csv.Error as error:
            raise DataError(f"{shown(path)}, line {reader.line_num}: {_in_words(error)}") from error
        except UnicodeDecodeError as error:
            raise not_utf8(path) from error
        except OSError as error:
            raise DataError(f"{shown(path)} cannot be read: {error.strerror or error}") from error


def _rows(path: Path, reader: Iterator[list[str]], names: FieldNames, separator: str) -> Iterator[Item]:
    header = tuple(name.strip() for name in next(reader, ()))
    if not any(header):
        raise DataError(f"{shown(path)} is empty; expected a table whose first line names its columns")
    used = used_columns(path, header, names)
    number, cells, before = 0, len(header), reader.line_num  # type: ignore[attr-defined]
    for row in reader:
        line, before = before + 1, reader.line_num  # type: ignore[attr-defined]
        if len(row) != cells:
            if not row:
                continue
            sign = "tabs" if separator == "\t" else "commas"
            raise DataError(
                f"{shown(path)}, line {line}: {len(row)} cells, but the first line names {cells} columns; put a text with "
                f"{sign} into double quotes"
            )
        number += 1
        yield Item(path, number, line, {name: row[place] for name, place in used if row[place]}, header)


def _in_words(error: csv.Error) -> str:
    """What is wrong with a table, and what to do."""
    text = str(error)
    if "unexpected end of data" in text:
        return 'a double quote is never closed; close it, or write "" for a quote inside of quotes'
    if "expected after" in text:
        return 'found text after a closing double quote; write "" for a quote inside of quotes'
    if "field limit" in text:
        return f"a cell is longer than {csv.field_size_limit()} characters; is a double quote missing?"
    return f"the table cannot be read ({text})"
