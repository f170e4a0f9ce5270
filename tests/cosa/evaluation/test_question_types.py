"""Types of questions: what the annotation says, or the first words."""

import json
from pathlib import Path
from typing import Any

import pytest

from cosa.data.annotations import load_questions
from cosa.evaluation.question_types import type_of


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"question": "What color is it?"}, "what"),
        ({"question": "how many dogs run"}, "how many"),
        ({"question": "How?"}, "how"),
        ({"question": "Who, then?", "question_type": "none of the above"}, "none of the above"),
        ({"question": "who", "type": " yes/no  question "}, "yes/no question"),
        ({"question": "is it", "type": 3}, "is"),
        ({"question": "is it", "type": ""}, "is"),
        ({"question": "?!"}, "other"),
    ],
)
def test_a_question_has_a_type(tmp_path: Path, fields: dict[str, Any], expected: str) -> None:
    (tmp_path / "q.json").write_text(json.dumps([{"video_id": "v", "answer": "a", **fields}]))
    [entry] = load_questions(tmp_path / "q.json")
    assert type_of(entry) == expected


def test_lists_of_questions_may_have_lists_of_types(tmp_path: Path) -> None:
    entry = {"video_id": "v", "question": ["who", "what"], "answer": ["a", "b"], "question_type": ["x", "y"]}
    (tmp_path / "q.json").write_text(json.dumps([entry, {**entry, "question_type": "z"}]))
    assert [type_of(one) for one in load_questions(tmp_path / "q.json")] == ["x", "y", "z", "z"]
