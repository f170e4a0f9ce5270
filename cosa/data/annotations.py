"""Annotation files: which caption, question or answer belongs to which clip or image.

The files are the JSON lists of the published code (and JSON Lines, one object a line). Only the standard library is
imported, because the planner reads these files as well.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from json.decoder import JSONDecodeError
from pathlib import Path
from typing import NamedTuple, NoReturn

from cosa.data.media_files import open_media
from cosa.data.media_ids import canonical, media_id_problem
from cosa.errors import DataError
from cosa.message_text import quoted, shown

_CAPTION_FIELDS = ("desc", "caption")
_TYPE_FIELDS = ("question_type", "type")
_MEDIA_FIELDS = ("video_id", "image_id")
_SURROGATE = re.compile("[\ud800-\udfff]")
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


@dataclass(frozen=True, slots=True)
class CaptionEntry:
    """The captions of one clip or image in one annotation, and the line where the annotation begins."""

    video_id: str
    captions: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class QuestionEntry:
    """One question about one clip or image; `answers` holds every accepted answer (none if the file has none).

    question_type: what the file says of it, if it does.
    """

    video_id: str
    question: str
    answers: tuple[str, ...]
    question_id: str | None
    line: int
    question_type: str | None = None


class _Item(NamedTuple):
    """One annotation as it stands in the file, with what an error message needs to point at it."""

    path: Path
    number: int
    line: int
    value: object

    def fail(self, problem: str) -> NoReturn:
        raise DataError(f"{shown(self.path)}, line {self.line} (entry {self.number}): {problem}")


def load_captions(path: Path | str, require_captions: bool = True) -> list[CaptionEntry]:
    """All of `captions_in`."""
    return list(captions_in(path, require_captions))


def load_questions(path: Path | str, require_answers: bool = True) -> list[QuestionEntry]:
    """All of `questions_in`."""
    return list(questions_in(path, require_answers))


def captions_in(path: Path | str, require_captions: bool = True) -> Iterator[CaptionEntry]:
    """Read `{"video_id", "desc" or "caption"}` entries; the text is a string or a list of strings.

    Where both fields are present, `desc` counts, as in the published dataset code. Without `require_captions` both may be
    absent.

    Raises:
        DataError: the file or one of its entries is not of this form.
    """
    return (CaptionEntry(_media_id(item), _captions(item, require_captions), item.line) for item in _list_items(Path(path)))


def questions_in(path: Path | str, require_answers: bool = True) -> Iterator[QuestionEntry]:
    """Read `{"video_id", "question", "answer", "question_id"?, "question_type"?}` entries, one result per question.

    `question` is a string, or (test files) a list of strings with lists of the same length beside it. Each answer is
    a string or a list of accepted strings. Without `require_answers` the field `answer` may be absent. The type is
    also read from the field `type`; only a text counts as one.

    Raises:
        DataError: the file or one of its entries is not of this form.
    """
    return (entry for item in _list_items(Path(path)) for entry in _questions(item, require_answers))


def load_references(path: Path | str) -> dict[str, tuple[str, ...]]:
    """Reference captions by clip, in file order.

    The file is COCO style, `{"annotations": [{"video_id" or "image_id", "caption"}]}`, or what `load_captions` reads.

    Raises:
        DataError: the file or one of its entries is not of this form.
    """
    references: dict[str, list[str]] = {}
    for item in _items(Path(path)):
        references.setdefault(_media_id(item), []).extend(_captions(item))
    return {video_id: tuple(captions) for video_id, captions in references.items()}


def load_video_ids(path: Path | str) -> list[str]:
    """Identifiers of all clips or images that an annotation file of any kind names: unique, in order of appearance.

    Raises:
        DataError: the file cannot be read or an entry has no usable identifier.
    """
    return list(dict.fromkeys(_media_id(item) for item in _items(Path(path))))


def first_texts(path: Path | str, count: int) -> list[str]:
    """The first captions or questions of a file, at most `count`; the rest of it is not decoded."""
    texts: list[str] = []
    for item in islice(_items(Path(path)), count):
        fields = _fields(item)
        name = _first_present((*_CAPTION_FIELDS, "question"), fields)
        texts += _texts(item, name, fields[name]) if name is not None else ()
    return texts[:count]


def lines_of(path: Path | str, media_ids: Iterable[str]) -> dict[str, int]:
    """The line of the first entry of each of some clips or images, as far as the file names them."""
    wanted, found = set(media_ids), dict[str, int]()
    for item in _items(Path(path)):
        if (media_id := _media_id(item)) in wanted:
            found.setdefault(media_id, item.line)
            if len(found) == len(wanted):
                break
    return found


def each_question_once(entries: Iterable[QuestionEntry], path: Path | str) -> Iterator[QuestionEntry]:
    """Pass on questions of which each identifier may stand once: answers are handed in by it.

    Raises:
        DataError: two questions share it; the message names both lines.
    """
    first_lines: dict[str, int] = {}
    for entry in entries:
        if entry.question_id in first_lines:
            raise DataError(
                f"{shown(path)}, line {entry.line}: question_id {quoted(entry.question_id)} was already used in line "
                f"{first_lines[entry.question_id]}; give each question its own"
            )
        if entry.question_id is not None:
            first_lines[entry.question_id] = entry.line
        yield entry


# --- fields of one entry ---------------------------------------------------------------------------------------------


def _fields(item: _Item) -> dict[str, object]:
    if not isinstance(item.value, dict):
        item.fail(f'found {_kind(item.value)}, expected an object such as {{"video_id": "video7", "desc": "..."}}')
    return item.value


def _first_present(names: Sequence[str], fields: dict[str, object]) -> str | None:
    for name in names:
        if name in fields:
            return name
    return None


def _media_id(item: _Item) -> str:
    fields = _fields(item)
    name = _first_present(_MEDIA_FIELDS, fields)
    if name is None:
        item.fail(f'field "video_id" is missing; found the fields {_names(fields)}')
    value = fields[name]
    if isinstance(value, int) and not isinstance(value, bool):  # COCO numbers its images
        value = str(value)
    if not isinstance(value, str):
        item.fail(f'field "{name}" is {_kind(value)}, expected a string')
    if problem := media_id_problem(value):
        item.fail(f'field "{name}" {quoted(value)} {problem}; expected a relative name such as video7 or a/b')
    return canonical(value)  # two files may write the same letters in different forms


def _captions(item: _Item, required: bool = True) -> tuple[str, ...]:
    fields = _fields(item)
    name = _first_present(_CAPTION_FIELDS, fields)
    if name is None and not required:
        return ()
    if name is None:
        item.fail(f'field "desc" (or "caption") is missing; found the fields {_names(fields)}')
    return _texts(item, name, fields[name])


def _questions(item: _Item, require_answers: bool) -> Iterator[QuestionEntry]:
    fields = _fields(item)
    video_id = _media_id(item)
    for name in ("question", "answer"):
        if name not in fields and (name == "question" or require_answers):
            item.fail(f'field "{name}" is missing; found the fields {_names(fields)}')
    several = isinstance(fields["question"], list)
    questions = _texts(item, "question", fields["question"])
    answers = _aligned(item, "answer", several, len(questions))
    identifiers = _aligned(item, "question_id", several, len(questions))
    types = _question_types(_fields(item), len(questions))
    for question, answer, identifier, kind in zip(questions, answers, identifiers, types, strict=True):
        accepted = () if answer is None and "answer" not in fields else _texts(item, "answer", answer)
        yield QuestionEntry(video_id, question, accepted, _question_id(item, identifier), item.line, kind)


def _question_types(fields: dict[str, object], count: int) -> list[str | None]:
    """The type of each question of an entry. It decides no metric, so that other uses of its field are no mistake."""
    name = _first_present(_TYPE_FIELDS, fields)
    value = fields[name] if name is not None else None
    types = value if isinstance(value, list) and len(value) == count else [value] * count
    return [" ".join(kind.split()) or None if isinstance(kind, str) else None for kind in types]


def _aligned(item: _Item, name: str, several: bool, count: int) -> list[object]:
    """The values of an optional field, one for each question of the entry."""
    value = _fields(item).get(name)
    if not several or name not in _fields(item):
        return [value] * count
    if not isinstance(value, list):
        item.fail(f'field "{name}" is {_kind(value)}, expected a list of {count}, as "question" is a list')
    if len(value) != count:
        item.fail(f'field "{name}" has {len(value)} items, expected {count}, one for each question')
    return value


def _question_id(item: _Item, value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        item.fail(f'field "question_id" is {_kind(value)}, expected a string or an integer')
    return value


def _texts(item: _Item, name: str, value: object) -> tuple[str, ...]:
    """A non-blank string, or a non-empty list of them, as a tuple."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        item.fail(f'field "{name}" is {_kind(value)}, expected a string or a list of strings')
    if not texts:
        item.fail(f'field "{name}" is an empty list, expected at least one string')
    for text in texts:
        if not isinstance(text, str):
            item.fail(f'field "{name}" holds {_kind(text)}, expected a string')
        if not text or text.isspace():
            item.fail(f'field "{name}" is empty, expected text; correct or remove the entry')
        if not text.isascii() and _SURROGATE.search(text):
            item.fail(f'field "{name}" {quoted(text)} is not valid Unicode text (half of a character above U+FFFF); correct it')
    return tuple(texts)


# --- the file as a sequence of items with their lines ----------------------------------------------------------------


def _list_items(path: Path) -> Iterator[_Item]:
    return _items(path, allow_coco=False)


def _items(path: Path, allow_coco: bool = True) -> Iterator[_Item]:
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
        yield _Item(path, number, line, value)
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
    if _skip_blank(text, end) < len(text) or any(field in value for field in _MEDIA_FIELDS):
        return None
    if len(value) < len(outermost):
        raise DataError(f"{shown(path)}, line {_line(text, start)}: {_TwiceError([name for name, _ in outermost])}")
    if not isinstance(value.get("annotations"), list):
        raise DataError(
            f"{shown(path)}: found an object with the fields {_names(value)}, expected a JSON list of entries or an object "
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


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), f"a number ({quoted(str(value))})")


def _names(fields: Iterable[object]) -> str:
    return quoted(", ".join(sorted(str(name) for name in fields))) or "none"
