import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosa.errors import DataError
from cosa.evaluation.answer_metrics import (
    answer_accuracy,
    most_frequent_answer_baseline,
    normalise_vqa_answer,
    vqa_accuracy,
)
from cosa.tokenizer import CaptionTokenizer


def test_one_of_several_accepted_answers_is_enough() -> None:
    answers = [["red"], ["dog", "puppy"], ["two"], ["yes"]]
    assert answer_accuracy(["red", "puppy", "three", ""], answers) == {"accuracy": 50.0}


@pytest.mark.parametrize("annotation", ["10.5", "e-mail", "$5", "New York", "café", "don't know", "(left)"])
def test_decoded_word_pieces_match_their_annotation_only_when_normalised(annotation: str) -> None:
    tokenizer = CaptionTokenizer()
    decoded = tokenizer.decode(tokenizer.ids(annotation))
    assert answer_accuracy([decoded], [[annotation]]) == {"accuracy": 100.0}
    published = answer_accuracy([decoded], [[annotation]], normalisation="none")
    assert published == {"accuracy": 100.0 if decoded == annotation else 0.0}


@given(st.text(max_size=20), st.text(max_size=20))
def test_normalisation_accepts_all_that_plain_equality_accepts(first: str, second: str) -> None:
    assert answer_accuracy([first], [[first]]) == {"accuracy": 100.0}
    plain = answer_accuracy([first], [[second]], normalisation="none")["accuracy"]
    assert answer_accuracy([first], [[second]])["accuracy"] >= plain


def test_vqa_score_leaves_each_person_out() -> None:
    # 3 of 10 agree: left out, an agreeing person leaves 2 matches (2/3), a disagreeing one 3 (1): (3 * 2/3 + 7) / 10.
    three_agree = ["red"] * 3 + ["blue"] * 7
    assert vqa_accuracy(["Red."], [three_agree])["vqa_accuracy"] == pytest.approx(90.0)
    assert vqa_accuracy(["red"], [["red"] + ["blue"] * 9])["vqa_accuracy"] == pytest.approx(30.0)
    assert vqa_accuracy(["red"], [["red"] * 2 + ["blue"] * 8])["vqa_accuracy"] == pytest.approx(60.0)
    assert vqa_accuracy(["red", "green"], [["red"] * 4 + ["blue"] * 6] * 2)["vqa_accuracy"] == pytest.approx(50.0)


def test_vqa_normalises_only_when_people_disagree() -> None:
    assert vqa_accuracy(["two"], [["2"] * 10])["vqa_accuracy"] == 0.0
    assert vqa_accuracy(["two"], [["2"] * 9 + ["3"]])["vqa_accuracy"] == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The red car.", "red car"),
        ("None", "0"),
        ("ten  cats", "10 cats"),
        ("dont know", "don't know"),
        ("couldn'tve", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("e-mail", "e mail"),
        ("e- mail", "e mail"),
        ("red/blue", "red blue"),
        ("10,000 people", "10000 people"),
        ("$10.50", "$10.50"),
        ("U.S.", "us"),
        ("it: yes", "it: yes"),
        ("a", ""),
    ],
)
def test_vqa_normalisation(text: str, expected: str) -> None:
    assert normalise_vqa_answer(text) == expected


def test_most_frequent_answer() -> None:
    answer, metrics = most_frequent_answer_baseline(["Red", "blue", "red", "green"], [["red"], ["RED", "blue"], ["two"]])
    assert answer == "Red"
    assert metrics["accuracy"] == pytest.approx(200 / 3)
    assert most_frequent_answer_baseline(["b", "a", "a", "b"], [["b"]])[0] == "b"


def test_unusable_input_is_named() -> None:
    with pytest.raises(DataError, match="1 predicted answers for 2 questions"):
        answer_accuracy(["red"], [["red"], ["blue"]])
    with pytest.raises(DataError, match="0 predicted answers"):
        answer_accuracy([], [])
    with pytest.raises(DataError, match=r"Question 1 has the answers \[\]"):
        answer_accuracy(["red", "blue"], [["red"], []])
    with pytest.raises(DataError, match="Question 0 has the answers 'red'"):
        answer_accuracy(["red"], ["red"])
    with pytest.raises(DataError, match=r"accepted answer \(question 0\) is 2; expected a string"):
        answer_accuracy(["two"], [[2]])  # type: ignore[list-item]
    with pytest.raises(DataError, match="at least 4"):
        vqa_accuracy(["red"], [["red"] * 3])
    with pytest.raises(DataError, match="'words' or 'none'"):
        answer_accuracy(["red"], [["red"]], normalisation="lower")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no training answers"):
        most_frequent_answer_baseline([], [["red"]])
