"""The entries of a JSON list, of JSON Lines, or of COCO's form, each with its line.

The text is read part by part, so that a file of any size takes little memory; only COCO's form is held in full. Decoding with
the standard library, which can refuse a field that appears twice, takes no longer than with libraries that cannot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from json.decoder import JSONDecodeError
from pathlib import Path
from typing import NoReturn

from cosa.data.annotation_items import Item, names_of
from cosa.data.compressed import open_annotations
from cosa.data.not_utf8 import not_utf8
from cosa.data.split_reading import FieldNames
from cosa.errors import DataError
from cosa.message_text import quoted, shown

CHUNK = 2**22  # characters that are read at once
_BLANK = re.compile(r"[ \t\r\n]*")
_SEPARATOR = re.compile(r"[ \t\r\n]*([,\]])[ \t\r\n]*")
_SHOWN = 60
_NO_TABLES = "; name a table .csv or .tsv"


class _TwiceError(ValueError):
    """An object has a field twice, of which JSON readers silently drop one."""

    def __init__(self, names: Sequence[str]):
        super().__init__(f"field {quoted(next(name for name in names if names.count(name) > 1))} appears twice; keep one")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _TwiceError([name for name, _ in pairs])
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


class _Window:
    """The part of a file's text that is needed now. line: of its beginning."""

    def __init__(self, path: Path):
        self.path, self.text, self.line = path, "", 1
        self._file = TextIOWrapper(open_annotations(path), encoding="utf-8-sig")
        self._is_read = False

    def more(self) -> bool:
        """Read on: at least as much as there is, so that what is retried is not retried often. False at the end."""
        if self._is_read:
            return False
        try:
            new = self._file.read(max(CHUNK, len(self.text)))
        except UnicodeDecodeError as error:
            raise not_utf8(self.path) from error
        except OSError as error:
            raise DataError(f"{shown(self.path)} cannot be read: {error.strerror or error}") from error
        self.text += new
        self._is_read = not new
        return not self._is_read

    def drop(self, position: int) -> None:
        """Forget what is before a position."""
        self.line += self.text.count("\n", 0, position)
        self.text = self.text[position:]

    def after_blank(self, position: int) -> int:
        """The first position that is not blank; that of the end if there is none."""
        while True:
            match = _BLANK.match(self.text, position)
            position = match.end() if match else position
            if position < len(self.text) or not self.more():
                return position

    def line_of(self, position: int) -> int:
        """The number of the line at a position."""
        return self.line + self.text.count("\n", 0, position)

    def decode(self, position: int) -> tuple[object, int]:
        """The value at a position, and where it ends."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, position)
            except JSONDecodeError as error:
                if not self.more():
                    self.fail(error.pos, error.msg)
            except _TwiceError as error:
                raise DataError(f"{shown(self.path)}, line {self.line_of(position)}: {error}") from error
            except (ValueError, RecursionError) as error:  # integers of thousands of digits, thousands of nested lists
                self.fail(position, str(error))
            else:
                if end < len(self.text) or not self.more():  # A number at the end may have more digits.
                    return value, end

    def fail(self, position: int, expected: str) -> NoReturn:
        """Raise DataError of invalid JSON at a position."""
        _fail_syntax(self.path, self.text, position, expected, self.line_of(position))

    def close(self) -> None:
        self._file.close()


def json_items(path: Path, names: FieldNames) -> Iterator[Item]:
    """Yield the entries of a file.

    Raises:
        DataError: it is empty, no UTF-8, or not of one of these forms; the message names the line.
    """
    window = _Window(path)
    try:
        for number, (line, value) in enumerate(_values(window, names), start=1):
            yield Item(path, number, line, value)
    finally:
        window.close()


def _values(window: _Window, names: FieldNames) -> Iterator[tuple[int, object]]:
    path, start = window.path, window.after_blank(0)
    if window.text.startswith("[", start):
        return _array_values(window, start)
    if window.text.startswith("{", start):
        annotations = _coco_start(window, start, names)
        return _line_values(window) if annotations is None else _array_values(window, annotations, to_the_end=False)
    if start == len(window.text):
        raise DataError(f"{shown(path)} is empty; expected a JSON list of entries")
    line, tables = window.line_of(start), _NO_TABLES if re.search("[,\t]", window.text.partition("\n")[0]) else ""
    found = quoted(window.text[start:])
    raise DataError(f"{shown(path)}, line {line}: found {found}, expected a JSON list of entries{tables}")


def _array_values(window: _Window, start: int, to_the_end: bool = True) -> Iterator[tuple[int, object]]:
    """Values of the JSON list that begins at `start`, decoded one by one so that each one's line is known."""
    position = window.after_blank(start + 1)
    line, counted, scan = window.line, 0, _DECODER.scan_once  # type: ignore[attr-defined]
    closed = window.text.startswith("]", position)
    end = position + 1
    while not closed:
        line, counted = line + window.text.count("\n", counted, position), position
        try:
            value, end = scan(window.text, position)
        except (StopIteration, ValueError, RecursionError):
            end = -1
        if end < 0 or end == len(window.text):
            value, end = window.decode(position)
        yield line, value
        separator = _SEPARATOR.match(window.text, end)
        while (separator is None or separator.end() == len(window.text)) and window.more():
            separator = _SEPARATOR.match(window.text, end)
        if separator is None:
            window.fail(window.after_blank(end), "expected a comma or the closing bracket of the list")
        position = end = separator.end()
        closed = separator[1] == "]"
        if position > CHUNK and not closed:
            window.drop(position)
            position, line, counted = 0, window.line, 0
    rest = window.after_blank(end)
    if to_the_end and rest < len(window.text):
        window.fail(rest, "expected nothing after the list")


def _line_values(window: _Window) -> Iterator[tuple[int, object]]:
    for line, row in enumerate(_rows(window), start=1):
        if row.strip():
            value, end = _decode_row(window.path, row, line)
            if _after_blank(row, end) < len(row):
                raise DataError(
                    f"{shown(window.path)}, line {line}: found text after the object, expected one JSON object a line"
                )
            yield line, value


def _rows(window: _Window) -> Iterator[str]:
    start = 0
    while True:
        end = window.text.find("\n", start)
        if end >= 0:
            yield window.text[start:end]
            start = end + 1
        else:
            window.drop(start)
            start = 0
            if not window.more():
                yield window.text
                return


def _decode_row(path: Path, row: str, line: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(row, _after_blank(row, 0))
    except JSONDecodeError as error:
        _fail_syntax(path, row, error.pos, error.msg, line)
    except _TwiceError as error:
        raise DataError(f"{shown(path)}, line {line}: {error}") from error
    except (ValueError, RecursionError) as error:
        _fail_syntax(path, row, 0, str(error), line)


def _coco_start(window: _Window, start: int, names: FieldNames) -> int | None:
    """Where the list "annotations" of a COCO style object begins; None if the file is not of that form."""
    outermost: list[tuple[str, object]] = []

    def remember(pairs: list[tuple[str, object]]) -> dict[str, object]:
        outermost[:] = pairs  # The outermost object is the last; the others are checked when they are read one by one.
        return dict(pairs)

    decoder, path = json.JSONDecoder(object_pairs_hook=remember), window.path
    while True:
        try:
            value, end = decoder.raw_decode(window.text, start)
            break
        except JSONDecodeError:
            if not window.more():
                return None  # perhaps JSON Lines; a real mistake is reported with its line there
        except (ValueError, RecursionError):
            return None
    if window.after_blank(end) < len(window.text) or any(field in value for field in names.media):
        return None
    if len(value) < len(outermost):
        raise DataError(f"{shown(path)}, line {window.line_of(start)}: {_TwiceError([name for name, _ in outermost])}")
    if not isinstance(value.get("annotations"), list):
        raise DataError(
            f"{shown(path)}: found an object with the fields {names_of(value)}, expected a JSON list of entries or an object "
            'with a list "annotations"'
        )
    text, position = window.text, window.after_blank(start + 1)
    while True:
        key, position = window.decode(position)
        position = _after_blank(text, _after_blank(text, position) + 1)  # over the colon
        if key == "annotations":
            return position
        _, position = window.decode(position)
        position = _after_blank(text, _after_blank(text, position) + 1)  # over the comma


def _fail_syntax(path: Path, text: str, position: int, expected: str, line: int) -> NoReturn:
    found = quoted(text[position : position + _SHOWN]) if position < len(text) else "the end of the text"
    raise DataError(f"{shown(path)}, line {line}: invalid JSON, found {found} ({expected})")


def _after_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position
