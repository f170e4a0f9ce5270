"""Question answering, as people see it."""

import pytest

from cosa.tasks.question_answering import QuestionAnswering


@pytest.mark.parametrize(
    ("answer", "expected", "shown"),
    [
        ("blue", ["red", "red", "pink"], "v1: what color is it: blue (expected red or pink)"),
        ("", ["red"], "v1: what color is it: nothing (expected red)"),
        ("blue", [], "v1: what color is it: blue"),
    ],
)
def test_an_answer_is_shown_with_what_was_expected(answer: str, expected: list[str], shown: str) -> None:
    prediction = {"video_id": "v1", "question": "what color is it", "answer": answer, "expected": expected}
    assert QuestionAnswering().example(prediction) == shown
