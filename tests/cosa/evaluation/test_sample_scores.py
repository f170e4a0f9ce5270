"""Scores of samples: they are the metrics' parts, and a wrong table is refused."""

import numpy as np
import pytest

from cosa.errors import UserError
from cosa.evaluation.caption_metrics import score_tokenized, started_scorers
from cosa.evaluation.clip_scores import clip_scores
from cosa.evaluation.intervals import bootstrap_interval
from cosa.evaluation.query_scores import query_scores
from cosa.evaluation.question_scores import question_scores
from cosa.evaluation.retrieval_metrics import rank_metrics
from cosa.evaluation.sample_scores import SampleScores
from tests.cosa.evaluation.test_against_oracles import captions

ACCURACY = np.array([100.0, 0.0, 100.0, 100.0])
VIDEOS = ["a", "a", "b", "c"]


def bleu_by_counting(metrics: tuple[str, ...]) -> tuple[SampleScores, dict[str, float]]:
    predictions, references = captions()
    with started_scorers(metrics) as scorers:
        scores = score_tokenized(predictions, references, metrics, scorers)
    rows = [{"video_id": name, "caption": text} for name, [text] in predictions.items()]
    return clip_scores(rows, scores), scores.metrics


def test_sums_of_bleus_counts_give_bleu() -> None:
    found, metrics = bleu_by_counting(("bleu4", "rouge_l", "bleu1"))
    [counts] = found.statistics
    sums = np.stack(list(counts.columns.values()), axis=1).sum(axis=0, keepdims=True)
    again = counts.from_sums(sums)
    assert set(counts.metrics) == {"bleu1", "bleu4"}
    assert {name: again[name][0] for name in counts.metrics} == pytest.approx(
        {name: metrics[name] for name in counts.metrics}, rel=1e-12
    )
    found.check("captioning", metrics)
    assert found.means(metrics) == ["rouge_l"]


def test_intervals_hold_what_they_are_of() -> None:
    found, metrics = bleu_by_counting(("bleu1", "bleu4", "rouge_l", "cider"))
    intervals = found.intervals(metrics)
    assert list(intervals) == list(metrics)
    assert all(low < metrics[name] < high for name, (low, high) in intervals.items())
    assert intervals["cider"] == pytest.approx(bootstrap_interval(found.values["cider"], groups=found.video_ids))


@pytest.mark.slow
def test_sums_of_meteors_counts_give_meteor() -> None:
    found, metrics = bleu_by_counting(("meteor",))
    [counts] = found.statistics
    table = np.stack(list(counts.columns.values()), axis=1)
    assert counts.from_sums(table.sum(axis=0, keepdims=True))["meteor"][0] == pytest.approx(metrics["meteor"], rel=1e-12)
    assert counts.from_sums(table)["meteor"] == pytest.approx(found.values["meteor"], rel=1e-9)
    assert found.means(metrics) == []
    low, high = found.intervals(metrics)["meteor"]
    assert low < metrics["meteor"] < high


def test_queries_have_ranks_and_recalls_of_both_directions() -> None:
    predictions = [{"video_id": name, "text": f"t{row}", "ranked": ["b"]} for row, name in enumerate(VIDEOS)]
    ranks = {"text_to_video": np.array([1, 7, 2, 30]), "video_to_text": np.array([3, 1, 12])}
    found = query_scores(predictions, ranks)
    assert found.samples == ["a#1", "a#2", "b#1", "c#1"]
    assert found.values["text_to_video_rank"].tolist() == [1, 7, 2, 30]
    assert found.values["text_to_video_r5"].tolist() == [100, 0, 100, 0]
    assert found.values["video_to_text_rank"][[0, 2, 3]].tolist() == [3, 1, 12]
    assert np.isnan(found.values["video_to_text_r10"][1])
    metrics = {name: value for direction in ranks for name, value in rank_metrics(ranks[direction], direction).items()}
    found.check("retrieval", metrics)
    assert set(metrics) - set(found.means(metrics)) == {"text_to_video_median_rank", "video_to_text_median_rank"}
    assert set(found.intervals(metrics)) == set(found.means(metrics))


def questions(identifiers: list[str | None], types: list[str]) -> SampleScores:
    rows = [
        {"video_id": name, "question_id": identifier, "question": "q", "answer": "a"}
        for name, identifier in zip(VIDEOS, identifiers, strict=True)
    ]
    return question_scores(rows, {"accuracy": ACCURACY / 100, "question_type": types})


@pytest.mark.parametrize("identifiers", [[None, "1", "2", "3"], ["1", "1", "2", "3"]])
def test_questions_without_identifiers_of_their_own_are_numbered(identifiers: list[str | None]) -> None:
    assert questions(identifiers, ["what"] * 4).samples == ["a#1", "a#2", "b#1", "c#1"]


def test_accuracy_is_divided_by_type() -> None:
    found = questions(["4", "5", "6", "7"], ["what", "how many", "what", "what"])
    assert found.samples == ["4", "5", "6", "7"]
    metrics = {"accuracy": 75.0}
    found.check("question_answering", metrics)
    parts = found.parts(metrics)
    assert list(parts) == ["accuracy_what", "accuracy_how_many"]
    assert parts["accuracy_what"]["value"] == 100.0
    assert parts["accuracy_how_many"] == {"value": 0.0, "interval": None, "samples": 1}  # of one clip


def test_rare_types_are_put_together() -> None:
    types = [f"type {number}" for number in range(14) for _ in range(20 - number)]
    names = [f"v{number}" for number in range(len(types))]
    values = np.where([kind == "type 12" for kind in types], 100.0, 0.0)
    found = SampleScores(names, names, {"kind": types}, {"accuracy": values}, divided_by="kind")
    parts = found.parts({"accuracy": float(values.mean())})
    assert len(parts) == 11
    assert parts["accuracy_other"]["samples"] == 10 + 9 + 8 + 7
    assert parts["accuracy_other"]["value"] == pytest.approx(100 * 8 / 34)


def test_one_clip_has_no_interval() -> None:
    assert SampleScores(["a", "b"], ["v", "v"], values={"accuracy": np.array([1.0, 2.0])}).intervals({"accuracy": 1.5}) == {}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (SampleScores(["a"], ["v"], values={"accuracy": np.array([1.0, 2.0])}), "2 values of 'accuracy' for 1 samples"),
        (SampleScores(["a", "a"], ["v", "w"]), "same identifier"),
        (SampleScores(["a", "b"], ["v", "w"], values={"accuracy": np.array([1.0, 2.0])}), "mean of its samples is 1.5"),
    ],
)
def test_a_wrong_table_is_refused(scores: SampleScores, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scores.check("own", {"accuracy": 1.0})
