"""Annotation files: which caption, question or answer belongs to which clip or image.

The files are of one of the forms in `annotation_formats.py`; these functions read them entry by entry, with the line of each,
and are right about every mistake. What trains and evaluates gets its entries from `column_cache.py`, which calls them once for
each file. For text files only the standard library is imported, because the planner reads these files as well.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cosa.data.annotation_formats import format_of, items_in, place_in
from cosa.data.annotation_items import Item, kind_of
from cosa.data.media_ids import PLAIN_ID, canonical, media_id_problem
from cosa.data.split_reading import USUAL, FieldNames
from cosa.errors import DataError
from cosa.message_text import quoted

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


def load_captions(path: Path | str, require_captions: bool = True, names: FieldNames = USUAL) -> list[CaptionEntry]:
    """All of `captions_in`."""
    return list(captions_in(path, require_captions, names))


def load_questions(path: Path | str, require_answers: bool = True, names: FieldNames = USUAL) -> list[QuestionEntry]:
    """All of `questions_in`."""
    return list(questions_in(path, require_answers, names))


def captions_in(path: Path | str, require_captions: bool = True, names: FieldNames = USUAL) -> Iterator[CaptionEntry]:
    """Read `{"video_id", "desc" or "caption"}` entries; the text is a string or a list of strings.

    Where both fields are present, `desc` counts, as in the published dataset code. Without `require_captions` both may be
    absent. names: of the fields.

    Raises:
        DataError: the file or one of its entries is not of this form.
    """
    return (CaptionEntry(*row) for row in caption_rows(path, require_captions, names))


def caption_rows(
    path: Path | str, require_captions: bool = True, names: FieldNames = USUAL
) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Read what `captions_in` does: identifiers, captions and lines.

    Entries of plain names and one ASCII caption are looked at here, because there may be millions of them.
    """
    is_plain, media, caption, earlier = PLAIN_ID.fullmatch, names.media[0], names.caption[0], frozenset[str]()
    for item in items_in(Path(path), names):
        fields: Any = item.value
        try:
            media_id, text = fields[media], fields[caption]
            is_usual = type(media_id) is str and is_plain(media_id) and type(text) is str and text.isascii()
            if is_usual and text and not text.isspace() and earlier.isdisjoint(fields):
                yield media_id, (text,), item.line
                continue
        except (KeyError, TypeError, IndexError):
            pass
        yield _media_id(item, names), _captions(item, names, require_captions), item.line
        media, caption = (_first_present(of, fields) or of[0] for of in (names.media, names.caption))
        before = (*names.media[: names.media.index(media)], *names.caption[: names.caption.index(caption)])
        earlier = frozenset(before)  # They would count if an entry had them.


def questions_in(path: Path | str, require_answers: bool = True, names: FieldNames = USUAL) -> Iterator[QuestionEntry]:
    """Read `{"video_id", "question", "answer", "question_id"?, "question_type"?}` entries, one result per question.

    `question` is a string, or (test files) a list of strings with lists of the same length beside it. Each answer is
    a string or a list of accepted strings. Without `require_answers` the field `answer` may be absent. The type is
    also read from the field `type`; only a text counts as one. names: of the fields.

    Raises:
        DataError: the file or one of its entries is not of this form.
    """
    for item in items_in(Path(path), names):
        yield from _questions(item, names, require_answers)


def load_references(path: Path | str, names: FieldNames = USUAL) -> dict[str, tuple[str, ...]]:
    """Reference captions by clip, in file order. names: of the fields.

    Raises:
        DataError: the file or one of its entries is not of this form.
    """
    references: dict[str, list[str]] = {}
    for item in items_in(Path(path), names):
        references.setdefault(_media_id(item, names), []).extend(_captions(item, names))
    return {video_id: tuple(captions) for video_id, captions in references.items()}


def media_ids_in(path: Path | str, names: FieldNames = USUAL) -> Iterator[str]:
    """Identifiers of the clips or images of all entries of an annotation file of any kind.

    Raises:
        DataError: the file cannot be read or an entry has no usable identifier.
    """
    return (_media_id(item, names) for item in items_in(Path(path), names))


def load_video_ids(path: Path | str, names: FieldNames = USUAL) -> list[str]:
    """Identifiers of all clips or images that an annotation file of any kind names: unique, in order of appearance.

    Raises:
        DataError: the file cannot be read or an entry has no usable identifier.
    """
    return list(dict.fromkeys(media_ids_in(path, names)))


def first_texts(path: Path | str, count: int, names: FieldNames = USUAL) -> list[str]:
    """The first captions or questions of a file, at most `count`; the rest of it is not decoded."""
    texts: list[str] = []
    for item in islice(items_in(Path(path), names), count):
        fields = _fields(item)
        name = _first_present((*names.caption, *names.question), fields)
        texts += _texts(item, name, fields[name]) if name is not None else ()
    return texts[:count]


def lines_of(path: Path | str, media_ids: Iterable[str], names: FieldNames = USUAL) -> dict[str, int]:
    """The line of the first entry of each of some clips or images, as far as the file names them."""
    wanted, found = set(media_ids), dict[str, int]()
    for item in items_in(Path(path), names):
        if (media_id := _media_id(item, names)) in wanted:
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
                f"{place_in(Path(path), entry.line)}: question_id {quoted(entry.question_id)} was already used in "
                f"{format_of(Path(path)).unit} {first_lines[entry.question_id]}; give each question its own"
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


def _media_id(item: Item, names: FieldNames) -> str:
    fields = _fields(item)
    name = _first_present(names.media, fields)
    if name is None:
        item.lacks("media", names)
    value = fields[name]
    if isinstance(value, int) and not isinstance(value, bool):  # COCO numbers its images
        value = str(value)
    if not isinstance(value, str):
        item.fail(f'{item.word} "{name}" is {kind_of(value)}, expected a string')
    if problem := media_id_problem(value):
        item.fail(f'{item.word} "{name}" {quoted(value)} {problem}; expected a relative name such as video7 or a/b')
    return canonical(value)  # two files may write the same letters in different forms


def _captions(item: Item, names: FieldNames, required: bool = True) -> tuple[str, ...]:
    fields = _fields(item)
    name = _first_present(names.caption, fields)
    if name is None:
        if required:
            item.lacks("caption", names)
        return ()
    return _texts(item, name, fields[name])


def _questions(item: Item, names: FieldNames, require_answers: bool) -> Iterator[QuestionEntry]:
    fields = _fields(item)
    video_id = _media_id(item, names)
    asked, answered = _first_present(names.question, fields), _first_present(names.answer, fields)
    if asked is None:
        item.lacks("question", names)
    if answered is None and require_answers:
        item.lacks("answer", names)
    several = isinstance(fields[asked], list)
    questions = _texts(item, asked, fields[asked])
    answers = _aligned(item, answered, several, len(questions))
    identifiers = _aligned(item, _first_present(names.question_id, fields), several, len(questions))
    types = _question_types(fields, names, len(questions))
    for question, answer, identifier, kind in zip(questions, answers, identifiers, types, strict=True):
        accepted = () if answered is None else _texts(item, answered, answer)
        yield QuestionEntry(video_id, question, accepted, _question_id(item, identifier, names), item.line, kind)


def _question_types(fields: dict[str, object], names: FieldNames, count: int) -> list[str | None]:
    """The type of each question of an entry. It decides no metric, so that other uses of its field are no mistake."""
    name = _first_present(names.question_type, fields)
    value = fields[name] if name is not None else None
    types = value if isinstance(value, list) and len(value) == count else [value] * count
    return [" ".join(kind.split()) or None if isinstance(kind, str) else None for kind in types]


def _aligned(item: Item, name: str | None, several: bool, count: int) -> list[object]:
    """The values of an optional field, one for each question of the entry. name: None if it is absent."""
    value = None if name is None else _fields(item).get(name)
    if not several or name is None:
        return [value] * count
    if not isinstance(value, list):
        item.fail(f'{item.word} "{name}" is {kind_of(value)}, expected a list of {count}, as "question" is a list')
    if len(value) != count:
        item.fail(f'{item.word} "{name}" has {len(value)} items, expected {count}, one for each question')
    return value


def _question_id(item: Item, value: object, names: FieldNames) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        item.fail(f'{item.word} "{names.question_id[0]}" is {kind_of(value)}, expected a string or an integer')
    return value


def _texts(item: Item, name: str, value: object) -> tuple[str, ...]:
    """A non-blank string, or a non-empty list of them, as a tuple."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        item.fail(f'{item.word} "{name}" is {kind_of(value)}, expected a string or a list of strings')
    if not texts:
        item.fail(f'{item.word} "{name}" is an empty list, expected at least one string')
    for text in texts:
        if not isinstance(text, str):
            item.fail(f'{item.word} "{name}" holds {kind_of(text)}, expected a string')
        if not text or text.isspace():
            item.fail(f'{item.word} "{name}" is empty, expected text; correct or remove the entry')
        if not text.isascii() and _SURROGATE.search(text):
            item.fail(
                f'{item.word} "{name}" {quoted(text)} is not valid Unicode text (half of a character above U+FFFF); correct it'
            )
    return tuple(texts)
