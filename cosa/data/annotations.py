"""Annotation files: which caption, question or answer belongs to which clip or image.

The files are the JSON lists of the published code (and JSON Lines, one object a line). Only the standard library is
imported, because the planner reads these files as well.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cosa.data.annotation_items import MEDIA_FIELDS, Item, items_in, kind_of, list_items, names_of
from cosa.data.media_ids import canonical, media_id_problem
from cosa.errors import DataError
from cosa.message_text import quoted, shown

_CAPTION_FIELDS = ("desc", "caption")
_TYPE_FIELDS = ("question_type", "type")
_SURROGATE = re.compile("[\ud800-\udfff]")


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
    return (CaptionEntry(_media_id(item), _captions(item, require_captions), item.line) for item in list_items(Path(path)))


def questions_in(path: Path | str, require_answers: bool = True) -> Iterator[QuestionEntry]:
    """Read `{"video_id", "question", "answer", "question_id"?, "question_type"?}` entries, one result per question.

    `question` is a string, or (test files) a list of strings with lists of the same length beside it. Each answer is
    a string or a list of accepted strings. Without `require_answers` the field `answer` may be absent. The type is
    also read from the field `type`; only a text counts as one.

    Raises:
        DataError: the file or one of its entries is not of this form.
    """
    return (entry for item in list_items(Path(path)) for entry in _questions(item, require_answers))


def load_references(path: Path | str) -> dict[str, tuple[str, ...]]:
    """Reference captions by clip, in file order.

    The file is COCO style, `{"annotations": [{"video_id" or "image_id", "caption"}]}`, or what `load_captions` reads.

    Raises:
        DataError: the file or one of its entries is not of this form.
    """
    references: dict[str, list[str]] = {}
    for item in items_in(Path(path)):
        references.setdefault(_media_id(item), []).extend(_captions(item))
    return {video_id: tuple(captions) for video_id, captions in references.items()}


def load_video_ids(path: Path | str) -> list[str]:
    """Identifiers of all clips or images that an annotation file of any kind names: unique, in order of appearance.

    Raises:
        DataError: the file cannot be read or an entry has no usable identifier.
    """
    return list(dict.fromkeys(_media_id(item) for item in items_in(Path(path))))


def first_texts(path: Path | str, count: int) -> list[str]:
    """The first captions or questions of a file, at most `count`; the rest of it is not decoded."""
    texts: list[str] = []
    for item in islice(items_in(Path(path)), count):
        fields = _fields(item)
        name = _first_present((*_CAPTION_FIELDS, "question"), fields)
        texts += _texts(item, name, fields[name]) if name is not None else ()
    return texts[:count]


def lines_of(path: Path | str, media_ids: Iterable[str]) -> dict[str, int]:
    """The line of the first entry of each of some clips or images, as far as the file names them."""
    wanted, found = set(media_ids), dict[str, int]()
    for item in items_in(Path(path)):
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


def _fields(item: Item) -> dict[str, object]:
    if not isinstance(item.value, dict):
        item.fail(f'found {kind_of(item.value)}, expected an object such as {{"video_id": "video7", "desc": "..."}}')
    return item.value


def _first_present(names: Sequence[str], fields: dict[str, object]) -> str | None:
    for name in names:
        if name in fields:
            return name
    return None


def _media_id(item: Item) -> str:
    fields = _fields(item)
    name = _first_present(MEDIA_FIELDS, fields)
    if name is None:
        item.fail(f'field "video_id" is missing; found the fields {names_of(fields)}')
    value = fields[name]
    if isinstance(value, int) and not isinstance(value, bool):  # COCO numbers its images
        value = str(value)
    if not isinstance(value, str):
        item.fail(f'field "{name}" is {kind_of(value)}, expected a string')
    if problem := media_id_problem(value):
        item.fail(f'field "{name}" {quoted(value)} {problem}; expected a relative name such as video7 or a/b')
    return canonical(value)  # two files may write the same letters in different forms


def _captions(item: Item, required: bool = True) -> tuple[str, ...]:
    fields = _fields(item)
    name = _first_present(_CAPTION_FIELDS, fields)
    if name is None and not required:
        return ()
    if name is None:
        item.fail(f'field "desc" (or "caption") is missing; found the fields {names_of(fields)}')
    return _texts(item, name, fields[name])


def _questions(item: Item, require_answers: bool) -> Iterator[QuestionEntry]:
    fields = _fields(item)
    video_id = _media_id(item)
    for name in ("question", "answer"):
        if name not in fields and (name == "question" or require_answers):
            item.fail(f'field "{name}" is missing; found the fields {names_of(fields)}')
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


def _aligned(item: Item, name: str, several: bool, count: int) -> list[object]:
    """The values of an optional field, one for each question of the entry."""
    value = _fields(item).get(name)
    if not several or name not in _fields(item):
        return [value] * count
    if not isinstance(value, list):
        item.fail(f'field "{name}" is {kind_of(value)}, expected a list of {count}, as "question" is a list')
    if len(value) != count:
        item.fail(f'field "{name}" has {len(value)} items, expected {count}, one for each question')
    return value


def _question_id(item: Item, value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        item.fail(f'field "question_id" is {kind_of(value)}, expected a string or an integer')
    return value


def _texts(item: Item, name: str, value: object) -> tuple[str, ...]:
    """A non-blank string, or a non-empty list of them, as a tuple."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        item.fail(f'field "{name}" is {kind_of(value)}, expected a string or a list of strings')
    if not texts:
        item.fail(f'field "{name}" is an empty list, expected at least one string')
    for text in texts:
        if not isinstance(text, str):
            item.fail(f'field "{name}" holds {kind_of(text)}, expected a string')
        if not text or text.isspace():
            item.fail(f'field "{name}" is empty, expected text; correct or remove the entry')
        if not text.isascii() and _SURROGATE.search(text):
            item.fail(f'field "{name}" {quoted(text)} is not valid Unicode text (half of a character above U+FFFF); correct it')
    return tuple(texts)
