"""Reads authors' files, and remembers where it is in them, so that an error can say which record is not as expected."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from json.decoder import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any

from cosa.datasets.authors.source_file import SourcePlace
from cosa.errors import DataError
from cosa.message_text import quoted, shown

_SEPARATOR = re.compile(r"\s*([,\]])\s*")
_LONGEST_FIELD = 16 * 2**20  # characters; csv's own limit is 128 KiB


class Source:
    """The files that a conversion reads, by the names that their authors gave them."""

    def __init__(self, folder: Path, places: Mapping[str, SourcePlace]):
        self.folder = folder
        self._places = places
        self._read: tuple[SourcePlace | str, str] = ("", "")  # the file, and where in it

    @property
    def place(self) -> str:
        """Where in which file it has read last, for messages."""
        return "".join(map(str, self._read))

    def __contains__(self, name: str) -> bool:
        """Whether the file is there."""
        return name in self._places

    def found_as(self, name: str) -> str:
        """The name under which a file was found: one of those that it may have."""
        return self._places[name].name

    def json(self, name: str) -> Any:
        """Read a JSON file.

        Raises:
            DataError: it is none.
        """
        text = self._text(name)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self._places[name]} is not JSON ({error}); download it again") from error

    def records(self, name: str, key: str = "") -> Iterator[Any]:
        """Read the items of a JSON list one after the other, so that only one of them is in memory beside the text.

        key: of the list, at the top of the file; left out: the file is a list.

        Raises:
            DataError: the file is no such JSON.
        """
        text = self._text(name)
        start = re.search(rf'"{key}"\s*:\s*\[\s*' if key else r"\A\s*\[\s*", text)
        what = f'a list "{key}"' if key else "a list"
        if start is None:
            raise DataError(f"{self._places[name]} holds no {what}, which its authors' file has; download it again")
        decoder, position, number = JSONDecoder(), start.end(), 0
        closed = text.startswith("]", position)
        while not closed:
            number += 1
            self._read = self._places[name], f", record {number}"
            try:
                value, position = decoder.raw_decode(text, position)
            except (JSONDecodeError, RecursionError) as error:
                raise DataError(f"{self.place}: invalid JSON ({error}); download the file again") from error
            separator = _SEPARATOR.match(text, position)
            if separator is None:
                found = quoted(text[position : position + 40])
                raise DataError(f"{self.place}: found {found} after it, expected a comma or a bracket; download the file again")
            yield value
            position, closed = separator.end(), separator[1] == "]"

    def json_lines(self, name: str) -> Iterator[Any]:
        """Read JSON Lines.

        Raises:
            DataError: a line is no JSON.
        """
        for line in self.lines(name):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.place}: not JSON ({error}); download the file again") from error

    def lines(self, name: str) -> Iterator[str]:
        """Read lines of text that are not blank.

        Raises:
            DataError: the file is no UTF-8 text.
        """
        with self._opened(name) as text:
            for number, line in enumerate(text, start=1):
                self._read = self._places[name], f", line {number}"
                if line := line.strip():
                    yield line

    def rows(self, name: str, delimiter: str = ",", quotes: bool = True) -> Iterator[list[str]]:
        """Read a table, row by row. quotes: whether fields may be quoted.

        Raises:
            DataError: the file is no UTF-8 text, or a field has no end.
        """
        csv.field_size_limit(_LONGEST_FIELD)
        with self._opened(name) as text:
            rows = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    raise DataError(f"{self._places[name]}, line {rows.line_num}: {error}; download the file again") from error
                self._read = self._places[name], f", line {rows.line_num}"
                if any(row):
                    yield row

    def table(self, name: str, delimiter: str = ",", quotes: bool = True) -> Iterator[dict[str, str]]:
        """Read a table whose first row names its columns.

        Raises:
            DataError: as of `rows`, or a row has another number of fields than the first.
        """
        rows = self.rows(name, delimiter, quotes)
        header = next(rows, [])
        for row in rows:
            if len(row) != len(header):
                raise DataError(f"{self.place}: found {len(row)} fields, expected {len(header)} ({', '.join(header)})")
            yield dict(zip(header, row, strict=True))

    def array(self, name: str) -> list[str]:
        """Read names from a NumPy file.

        Raises:
            DataError: it holds no plain list of texts.
        """
        import numpy as np

        try:
            with self._places[name].open() as file:
                return [str(value) for value in np.load(file, allow_pickle=False).tolist()]
        except (ValueError, OSError) as error:
            raise DataError(f"{self._places[name]} holds no plain array of names ({error}); download it again") from error

    def _text(self, name: str) -> str:
        self._read = self._places[name], ""
        with self._opened(name) as text:
            return text.read()

    def _opened(self, name: str) -> _Text:
        return _Text(self._places[name])


class _Text:
    """Text of a file. What is no UTF-8, or cannot be read, is reported as a mistake of the user's."""

    def __init__(self, place: SourcePlace):
        self.place = place

    def __enter__(self) -> TextIOWrapper:
        self._opened = self.place.open()
        try:
            return TextIOWrapper(self._opened.__enter__(), encoding="utf-8-sig", newline="")
        except OSError as error:
            raise DataError(f"{self.place} cannot be read: {error.strerror or error}") from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._opened.__exit__(kind, error, trace)
        if isinstance(error, UnicodeDecodeError):
            raise DataError(f"{shown(self.place)} is not UTF-8 text (byte {error.start}); download it again") from error
        if isinstance(error, OSError):
            raise DataError(f"{self.place} cannot be read: {error.strerror or error}") from error
