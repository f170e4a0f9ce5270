import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosa.data.annotations import (
    CaptionEntry,
    QuestionEntry,
    each_question_once,
    lines_of,
    load_captions,
    load_questions,
    load_references,
    load_video_ids,
)
from cosa.errors import DataError


def write(folder: Path, content: Any, name: str = "annotations.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_captions_of_every_form_and_their_lines(tmp_path: Path) -> None:
    text = (
        '[\n  {"video_id": "video1", "desc": "a man sings"},\n\n'
        '  {"video_id": "a/b", "caption": ["one", "two"]}, {"image_id": 7, "desc": "d", "caption": "c"}\n]\n'
    )
    assert load_captions(write(tmp_path, text)) == [
        CaptionEntry("video1", ("a man sings",), 2),
        CaptionEntry("a/b", ("one", "two"), 4),
        CaptionEntry("7", ("d",), 4),
    ]


def test_json_lines_byte_order_mark_and_line_separators_inside_captions(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeff{"video_id": "v1", "desc": "a\u2028b"}\n\n{"video_id": "v2", "desc": "c"}\r\n')
    assert [(entry.captions, entry.line) for entry in load_captions(path)] == [(("a\u2028b",), 1), (("c",), 3)]


def test_questions_single_and_in_lists(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        [
            {"video_id": "v1", "question": "who?", "answer": "man"},
            {"video_id": "v2", "question": "what?", "answer": ["cat", "kitten"], "question_id": 5},
            {"video_id": "v3", "question": ["a?", "b?"], "answer": ["x", ["y", "z"]], "question_id": ["q1", 2]},
        ],
    )
    assert load_questions(path) == [
        QuestionEntry("v1", "who?", ("man",), None, 1),
        QuestionEntry("v2", "what?", ("cat", "kitten"), "5", 1),
        QuestionEntry("v3", "a?", ("x",), "q1", 1),
        QuestionEntry("v3", "b?", ("y", "z"), "2", 1),
    ]


def test_answers_may_be_absent_only_where_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, [{"video_id": "v", "question": ["a?", "b?"]}, {"video_id": "w", "question": "c?"}])
    assert [entry.answers for entry in load_questions(path, require_answers=False)] == [(), (), ()]
    with pytest.raises(DataError, match=r'entry 1.*"answer" is missing'):
        load_questions(path)


def test_references_from_coco_and_from_a_list(tmp_path: Path) -> None:
    coco = {
        "info": {"annotations": [1]},
        "images": [{"id": 1}],
        "annotations": [
            {"video_id": "v", "caption": "a"},
            {"image_id": 3, "caption": "b"},
            {"image_id": 3, "caption": "c"},
        ],
        "type": "captions",
    }
    path = write(tmp_path, json.dumps(coco, indent=1))
    assert load_references(path) == {"v": ("a",), "3": ("b", "c")}
    assert load_video_ids(path) == ["v", "3"]
    listed = write(tmp_path, [{"video_id": "v", "desc": "a"}, {"video_id": "v", "desc": ["b"]}], "listed.json")
    assert load_references(listed) == {"v": ("a", "b")}
    entries = [(entry.video_id, entry.captions) for entry in load_captions(path)]
    assert entries == [("v", ("a",)), ("3", ("b",)), ("3", ("c",))]


def test_errors_in_coco_files_name_their_line(tmp_path: Path) -> None:
    text = '{\n"annotations": [\n{"video_id": "v", "caption": "a"},\n{"video_id": "w", "caption": 3}\n]}'
    with pytest.raises(DataError, match=r'line 4 \(entry 2\): field "caption" is a number'):
        load_references(write(tmp_path, text))


def test_video_ids_are_unique_and_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, [{"video_id": name, "question": "?"} for name in ("b", "a", "b", "c")])
    assert load_video_ids(path) == ["b", "a", "c"]


GOOD = '{"video_id": "v", "desc": "a"}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected a JSON list"),
        ("[ ]", "holds no entries"),
        ("3", "line 1: found '3', expected a JSON list"),
        ("hello", "line 1: found 'hello'"),
        ('{"a": 1}', "found an object with the fields 'a'"),
        ('{"annotations": {}}', 'expected a JSON list of entries or an object with a list "annotations"'),
        (f"[\n{GOOD}\n{GOOD}]", "line 3: invalid JSON.*comma"),
        (f"[\n{GOOD},\n]", "line 3: invalid JSON"),
        (f"[\n{GOOD},\n{GOOD}", "line 3: invalid JSON, found the end of the text"),
        (f"[{GOOD}]\n[]", "line 2: invalid JSON.*nothing after the list"),
        ('[\n{"video_id": "v", "desc": "a}]', "line 2: invalid JSON"),
        ("[" * 100_000, "line 1: invalid JSON"),
        (f"[{'9' * 5000}]", "line 1: invalid JSON"),
        (f"{GOOD}\n{GOOD} x", "line 2: found text after the object"),
        (f"{GOOD}\n{{", "line 2: invalid JSON"),
        ("[1]", "entry 1.*found a number"),
        (f'[\n{GOOD},\n{{"desc": "a"}}]', r'line 3 \(entry 2\): field "video_id" is missing; found the fields .desc'),
        ('[{"video_id": "v"}]', 'field "desc" .or "caption". is missing'),
        ('[{"video_id": "v", "desc": " \\n"}]', 'field "desc" is empty'),
        ('[{"video_id": "v", "desc": []}]', 'field "desc" is an empty list'),
        ('[{"video_id": "v", "desc": ["a", null]}]', 'field "desc" holds null'),
        ('[{"video_id": "v", "desc": {"a": 1}}]', 'field "desc" is an object'),
        ('[{"video_id": "", "desc": "a"}]', "field \"video_id\" '' is empty"),
        ('[{"video_id": null, "desc": "a"}]', 'field "video_id" is null'),
        ('[{"video_id": true, "desc": "a"}]', 'field "video_id" is a boolean'),
        ('[{"video_id": "../v", "desc": "a"}]', "leads out of the media folder"),
        ('[{"video_id": "\\ud800", "desc": "a"}]', "not valid Unicode"),
    ],
)
def test_mistakes_are_reported_with_their_place(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as raised:
        load_captions(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"video_id": "v", "answer": "a"}, '"question" is missing'),
        ({"video_id": "v", "question": ["a?", "b?"], "answer": "x"}, '"answer" is a string, expected a list of 2'),
        ({"video_id": "v", "question": ["a?", "b?"], "answer": ["x"]}, '"answer" has 1 items, expected 2'),
        ({"video_id": "v", "question": "a?", "answer": 3}, '"answer" is a number'),
        ({"video_id": "v", "question": "a?", "answer": None}, '"answer" is null'),
        ({"video_id": "v", "question": "a?", "answer": "x", "question_id": 1.5}, '"question_id" is a number'),
    ],
)
def test_mistakes_in_questions(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_questions(write(tmp_path, [entry]))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing or not a file"):
        load_captions(tmp_path / "missing.json")
    with pytest.raises(DataError, match="is a folder, not a file"):
        load_captions(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'[{"video_id": "v", "desc": "caf\xe9"}]')
    with pytest.raises(DataError, match="not UTF-8 text"):
        load_captions(tmp_path / "latin.json")


def test_question_identifiers_stand_once() -> None:
    questions = [QuestionEntry("a", "?", ("x",), None, 1), QuestionEntry("a", "?", ("y",), None, 2)]
    assert list(each_question_once(questions, "test.json")) == questions
    with pytest.raises(DataError, match=r"test.json, line 2: question_id 'q' was already used in line 1; give each question"):
        list(each_question_once([QuestionEntry("a", "?", (), "q", 1), QuestionEntry("b", "?", (), "q", 2)], "test.json"))
    with pytest.raises(DataError, match="in line 1"):  # a list of questions, or a file without line breaks
        list(each_question_once([QuestionEntry("a", "?", (), "q", 1), QuestionEntry("b", "?", (), "q", 1)], "test.json"))


def test_lines_of_clips(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('[{"video_id": "a", "desc": "x"},\n{"video_id": "b", "desc": "x"},\n{"video_id": "a", "desc": "y"}]')
    assert lines_of(path, ["b", "a", "c"]) == {"a": 1, "b": 2}


captions = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))


@given(st.lists(st.tuples(st.from_regex(r"[a-z0-9_]{1,9}", fullmatch=True), captions), min_size=1), st.booleans())
def test_any_list_reads_as_json_would(tmp_path_factory: Any, rows: list[tuple[str, str]], lines: bool) -> None:
    entries = [{"video_id": video_id, "desc": caption} for video_id, caption in rows]
    text = "\n".join(json.dumps(entry) for entry in entries) if lines else json.dumps(entries, indent=2)
    path = write(tmp_path_factory.mktemp("annotations"), text)
    assert [(entry.video_id, entry.captions[0]) for entry in load_captions(path)] == rows
    expected = [number * (1 if lines else 4) + (1 if lines else 2) for number in range(len(rows))]
    assert [entry.line for entry in load_captions(path)] == expected


def test_ids_are_the_same_in_either_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    entries = [{"video_id": name, "desc": "x"} for name in (composed, decomposed)]
    assert {entry.video_id for entry in load_captions(write(tmp_path, entries))} == {composed}
    assert load_video_ids(write(tmp_path, entries)) == [composed]


def test_a_pipe_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", tmp_path):
        with pytest.raises(DataError, match=r"is a (pipe \(FIFO\)|folder), not a file; expected a JSON list of entries"):
            load_captions(path)


OF_ANY_KIND = (load_captions, load_references, load_video_ids)


@pytest.mark.parametrize(
    ("content", "line", "field", "loads"),
    [
        ('[{"video_id": "a", "desc": "x"},\n {"video_id": "b", "desc": "y", "desc": "z"}]', 2, "desc", OF_ANY_KIND),
        ('[{"video_id": "a", "video_id": "b", "desc": "x"}]', 1, "video_id", OF_ANY_KIND),
        ('{"video_id": "a", "desc": "x"}\n{"video_id": "b", "desc": "y", "desc": "y"}\n', 2, "desc", OF_ANY_KIND),
        ('{"video_id": "a", "desc": "x", "desc": "x"}\n', 1, "desc", OF_ANY_KIND),
        ('[{"video_id": "a", "desc": "x", "more": {"k": 1,\n "k": 1}}]', 1, "k", OF_ANY_KIND),
        ('{"annotations": [],\n "annotations": [{"image_id": 1, "caption": "x"}]}', 1, "annotations", (load_references,)),
        ('\n{"info": {}, "info": {}, "annotations": [{"image_id": 1, "caption": "x"}]}', 2, "info", (load_references,)),
        (
            '{"annotations": [{"image_id": 1, "caption": "x"},\n{"image_id": 2, "caption": "x", "caption": "y"}]}',
            2, "caption", (load_references,),
        ),
    ],
)  # fmt: skip
def test_field_that_appears_twice(
    content: str, line: int, field: str, loads: tuple[Callable[[Path], object], ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    for load in loads:
        with pytest.raises(DataError, match=rf"a\.json, line {line}: field '{field}' appears twice; keep one"):
            load(path)
