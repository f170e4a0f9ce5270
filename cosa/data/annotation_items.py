"""The entries of an annotation file as they stand there, each with its line: a JSON list, JSON Lines, or COCO's form.

Only the standard library is imported, because the planner reads these files as well.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from json.decoder import JSONDecodeError
from pathlib import Path
from typing import NamedTuple, NoReturn

from cosa.data.media_files import open_media
from cosa.errors import DataError
from cosa.message_text import quoted, shown

MEDIA_FIELDS = ("video_id", "image_id")
_BLANK = re.compile(r"[ \t\r\n]*")
_SEPARATOR = re.compile(r"[ \t\r\n]*([,\]])[ \t\r\n]*")
_SHOWN = 60
_NO_TABLES = '; tables (CSV) are not read: write each row as {"video_id": "...", "desc": "..."}'


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


class Item(NamedTuple):
    """One annotation as it stands in the file, with what an error message needs to point at it."""

    path: Path
    number: int
    line: int
    value: object

    def fail(self, problem: str) -> NoReturn:
        """Raise DataError that says where a problem is."""
        raise DataError(f"{shown(self.path)}, line {self.line} (entry {self.number}): {problem}")


def list_items(path: Path) -> Iterator[Item]:
    """The entries of a file that is no COCO file; errors as of `items_in`."""
    return items_in(path, allow_coco=False)


def items_in(path: Path, allow_coco: bool = True) -> Iterator[Item]:
    """The entries of a file, one after the other.

    Raises:
        DataError: it is missing, empty, no UTF-8, or not of one of these forms; the message names the line.
    """
    text = _read_text(path)
    start = _skip_blank(text, 0)
    if text.startswith("[", start):
        values = _array_values(path, text, start)
    elif text.startswith("{", start):
        annotations = _coco_start(path, text, start)
        if annotations is None:
            values = _line_values(path, text)
        elif not allow_coco:
            raise DataError(f'{shown(path)}: found an object with "annotations" (COCO style), expected a JSON list of entries')
        else:
            values = _array_values(path, text, annotations, to_the_end=False)
    elif start == len(text):
        raise DataError(f"{shown(path)} is empty; expected a JSON list of entries")
    else:
        line, tables = _line(text, start), _NO_TABLES if re.search("[,\t]", text.partition("\n")[0]) else ""
        raise DataError(f"{shown(path)}, line {line}: found {quoted(text[start:])}, expected a JSON list of entries{tables}")
    number = 0
    for number, (line, value) in enumerate(values, start=1):
        yield Item(path, number, line, value)
    if number == 0:
        raise DataError(f"{shown(path)} holds no entries; expected at least one")


def _read_text(path: Path) -> str:
    try:
        with open_media(path, "a JSON list of entries") as file:
            return TextIOWrapper(file, encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise DataError(f"{shown(path)} is not UTF-8 text (byte {error.start}); expected a JSON list of entries") from error
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror or error}") from error


def _array_values(path: Path, text: str, start: int, to_the_end: bool = True) -> Iterator[tuple[int, object]]:
    """Values of the JSON list that begins at `start`, decoded one by one so that each one's line is known."""
    line, counted = 1, 0
    position = _skip_blank(text, start + 1)
    closed = text.startswith("]", position)
    end = position + 1
    while not closed:
        line, counted = line + text.count("\n", counted, position), position
        value, position = _decode(path, text, position)
        yield line, value
        separator = _SEPARATOR.match(text, position)
        if separator is None:
            _fail_syntax(path, text, _skip_blank(text, position), "expected a comma or the closing bracket of the list")
        position = end = separator.end()
        closed = separator[1] == "]"
    rest = _skip_blank(text, end)
    if to_the_end and rest < len(text):
        _fail_syntax(path, text, rest, "expected nothing after the list")


def _line_values(path: Path, text: str) -> Iterator[tuple[int, object]]:
    for line, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            value, end = _decode(path, row, _skip_blank(row, 0), line)
            if _skip_blank(row, end) < len(row):
                raise DataError(f"{shown(path)}, line {line}: found text after the object, expected one JSON object a line")
            yield line, value


def _coco_start(path: Path, text: str, start: int) -> int | None:
    """Where the list "annotations" of a COCO style object begins; None if the file is not of that form."""
    outermost: list[tuple[str, object]] = []

    def remember(pairs: list[tuple[str, object]]) -> dict[str, object]:
        outermost[:] = pairs  # The outermost object is the last; the others are checked when they are read one by one.
        return dict(pairs)

    try:
        value, end = json.JSONDecoder(object_pairs_hook=remember).raw_decode(text, start)
    except (ValueError, RecursionError):
        return None  # perhaps JSON Lines; a real mistake is reported with its line there
    if _skip_blank(text, end) < len(text) or any(field in value for field in MEDIA_FIELDS):
        return None
    if len(value) < len(outermost):
        raise DataError(f"{shown(path)}, line {_line(text, start)}: {_TwiceError([name for name, _ in outermost])}")
    if not isinstance(value.get("annotations"), list):
        raise DataError(
            f"{shown(path)}: found an object with the fields {names_of(value)}, expected a JSON list of entries or an object "
            'with a list "annotations"'
        )
    position = _skip_blank(text, start + 1)
    while True:
        key, position = _decode(path, text, position)
        position = _skip_blank(text, _skip_blank(text, position) + 1)  # over the colon
        if key == "annotations":
            return position
        _, position = _decode(path, text, position)
        position = _skip_blank(text, _skip_blank(text, position) + 1)  # over the comma


def _decode(path: Path, text: str, position: int, line: int | None = None) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except JSONDecodeError as error:
        _fail_syntax(path, text, error.pos, error.msg, line)
    except _TwiceError as error:
        where = line if line is not None else _line(text, position)
        raise DataError(f"{shown(path)}, line {where}: {error}") from error
    except (ValueError, RecursionError) as error:  # integers of thousands of digits, thousands of nested lists
        _fail_syntax(path, text, position, str(error), line)


def _fail_syntax(path: Path, text: str, position: int, expected: str, line: int | None = None) -> NoReturn:
    found = quoted(text[position : position + _SHOWN]) if position < len(text) else "the end of the text"
    where = line if line is not None else _line(text, position)
    raise DataError(f"{shown(path)}, line {where}: invalid JSON, found {found} ({expected})")


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def kind_of(value: object) -> str:
    """What a value is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), f"a number ({quoted(str(value))})")


def names_of(fields: Iterable[object]) -> str:
    """Names of fields, for a message."""
    return quoted(", ".join(sorted(str(name) for name in fields))) or "none"
