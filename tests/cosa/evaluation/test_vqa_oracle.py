"""VQAv2's soft accuracy against another implementation of its rules, on answers put together from awkward pieces."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosa.evaluation.answer_metrics import normalise_vqa_answer, vqa_accuracy

# What the official table makes of these, typed from it: the rest of ours follows from a rule.
CONTRACTIONS = {
    "aint": "ain't", "arent": "aren't", "cant": "can't", "couldve": "could've", "couldnt": "couldn't",
    "couldn'tve": "couldn't've", "couldnt've": "couldn't've", "didnt": "didn't", "dont": "don't", "hes": "he's",
    "howd": "how'd", "Id've": "Id've", "isnt": "isn't", "oclock": "o'clock", "somebody'd": "somebodyd",
    "thats": "that's", "theyre": "they're", "wont": "won't", "wouldnt": "wouldn't", "yall": "y'all", "youve": "you've",
}  # fmt: skip
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
MARKS = ';/[]"{}()=+\\_-><@`,?!'


def normalised(text: str) -> str:
    """Every character is judged by itself; then every word."""
    has_number = any(text[i].isdigit() and text[i + 1] == "," and text[i + 2].isdigit() for i in range(len(text) - 2))
    padded = f"\0{text}\0"
    loose = {mark for mark in MARKS if any(pair in padded for pair in (f"{mark} ", f" {mark}"))}
    changed = "".join(
        character if character not in MARKS else "" if has_number or character in loose else " " for character in text
    )
    kept, removed = [], 0
    for place, character in enumerate(changed):
        if character == "." and not changed[place + 1 : place + 2].isdigit() and removed < 32:
            removed += 1
        else:
            kept.append(character)
    words = []
    for word in "".join(kept).lower().split():
        if word in NUMBERS:
            words.append(str(NUMBERS.index(word)))
        elif word == "none":
            words.append("0")
        elif word not in ("a", "an", "the"):
            words.append(CONTRACTIONS.get(word, word))
    return " ".join(words)


def score(prediction: str, people: list[str]) -> float:
    """The mean of min(matches / 3, 1) over all groups that leave one person out."""
    prediction, people = prediction.strip(), [one.strip() for one in people]
    if any(one != people[0] for one in people):
        prediction, people = normalised(prediction), [normalised(one) for one in people]
    groups = list(combinations(people, len(people) - 1))
    return sum(min(group.count(prediction) / 3, 1) for group in groups) / len(groups)


PIECES = st.sampled_from(
    [
        *CONTRACTIONS,
        *NUMBERS,
        "none",
        "a",
        "the",
        "An",
        "red",
        "Red",
        "dog",
        "10",
        "1,000",
        "3.5",
        "e",
        "mail",
        ".",
        "..",
        *MARKS,
    ]
)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from(["", " "])), max_size=6).map(
    lambda pieces: "".join(piece + gap for piece, gap in pieces)
)


@settings(max_examples=1000)
@given(TEXTS)
def test_normalisation(text: str) -> None:
    assert normalise_vqa_answer(text) == normalised(text)


@settings(max_examples=400)
@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), st.lists(st.integers(0, 3), min_size=10, max_size=10))
def test_accuracy(prediction: str, others: list[str], chosen: list[int]) -> None:
    """Ten people, some of whom say what is predicted."""
    people = [[prediction, *others][number % (len(others) + 1)] for number in chosen]
    assert vqa_accuracy([prediction], [people])["vqa_accuracy"] == pytest.approx(100 * score(prediction, people))


def test_the_mean_is_over_questions() -> None:
    people = [["red"] * 4 + ["blue"] * 6, ["Two"] * 10, ["dont know", "x", "y", "z"]]
    answers = ["the red", "two", "don't know!"]
    expected = sum(map(score, answers, people)) / 3
    assert vqa_accuracy(answers, people)["vqa_accuracy"] == pytest.approx(100 * expected)
