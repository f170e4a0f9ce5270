"""Intervals and paired tests from the scores of single samples."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosa.evaluation.caption_scorers.bleu import BleuScorer
from cosa.evaluation.caption_scorers.meteor import MeteorScorer
from cosa.evaluation.paired_counts import paired_test_of_counts
from tests.workflows.commands.measured import BETTER, SAMPLES, WORSE, mean, measure
from tests.workflows.results.stored import stored
from workflows.reports.sample_scores import has_scores, interval_of, paired_difference, samples_of
from workflows.results.inventory import StoredResult


def result(root: Path, fingerprint: str, *arguments: object, **options: object) -> StoredResult:
    folder = stored(root, "demo/test", fingerprint)
    measure(folder, *arguments, **options)  # type: ignore[arg-type]
    return StoredResult.at(folder)


def test_an_interval_holds_the_metric(tmp_path: Path) -> None:
    found = interval_of(result(tmp_path, "abc", WORSE), "text_to_video_r1")
    assert found is not None
    assert 5 < found.low < 25 < found.high < 45
    assert found.samples == 40


def test_a_metric_that_is_no_mean_of_its_column_has_none(tmp_path: Path) -> None:
    one = result(tmp_path, "abc", WORSE, metrics={"text_to_video_r1": 26.0, "bleu4": 30.0})
    assert has_scores(one)
    assert interval_of(one, "text_to_video_r1") is None
    assert interval_of(one, "bleu4") is None
    assert interval_of(one, "unknown") is None
    assert paired_difference(one, one, "bleu4") is None


def test_a_mean_rank_is_the_mean_of_ranks(tmp_path: Path) -> None:
    ranks = [1.0, 2.0] * 20
    one = result(tmp_path, "abc", ranks, column="text_to_video_rank", metrics={"text_to_video_mean_rank": mean(ranks)})
    found = interval_of(one, "text_to_video_mean_rank")
    assert found is not None
    assert 1.2 < found.low < 1.5 < found.high < 1.8


def test_samples_are_paired_by_name_and_the_second_is_compared_with_the_first(tmp_path: Path) -> None:
    first = result(tmp_path, "abc", WORSE)
    turned = result(tmp_path, "def", BETTER[::-1], samples=SAMPLES[::-1])
    found = paired_difference(first, turned, "text_to_video_r1")
    assert found is not None
    assert found.difference == pytest.approx(50)
    assert 30 < found.low < 50 < found.high < 70
    assert found.p < 0.001
    other = paired_difference(turned, first, "text_to_video_r1")
    assert other is not None
    assert other.difference == pytest.approx(-50)
    same = paired_difference(first, first, "text_to_video_r1")
    assert same is not None
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert same.p > 0.9


def test_only_samples_that_both_have(tmp_path: Path) -> None:
    first = result(tmp_path, "abc", WORSE)
    part = result(tmp_path, "def", BETTER[:10], samples=SAMPLES[:10])
    found = paired_difference(first, part, "text_to_video_r1")
    assert found is not None
    assert found.samples == 10
    assert found.difference == pytest.approx(mean(BETTER[:10]) - mean(WORSE[:10]))
    apart = result(tmp_path, "ghi", BETTER, samples=[f"other{name}" for name in SAMPLES])
    assert paired_difference(first, apart, "text_to_video_r1") is None


def test_without_files_and_of_several_tasks(tmp_path: Path) -> None:
    none = result(tmp_path, "abc", None, metrics={"text_to_video_r1": 25.0})
    assert not has_scores(none)
    assert interval_of(none, "text_to_video_r1") is None
    assert samples_of(none) == {}
    one = result(tmp_path, "def", WORSE, metrics={"retrieval/text_to_video_r1": 25.0, "captioning/text_to_video_r1": 25.0})
    assert interval_of(one, "retrieval/text_to_video_r1") is not None
    assert interval_of(one, "captioning/text_to_video_r1") is None
    assert samples_of(one)["v3#0"] == "v3"


def counted(root: Path, fingerprint: str, quality: int, samples: list[str] = SAMPLES, **metrics: float) -> StoredResult:
    """An evaluation of captions with counts of BLEU and METEOR. quality: of 20 words, how many are right."""
    generator = np.random.default_rng([quality, len(samples)])
    right = generator.integers(quality - 2, quality + 3, size=len(samples)).astype(np.float64)
    full = np.full(len(samples), 20.0)
    bleu = [right, right / 2, right / 4, right / 8, *(full - n for n in range(4)), full, full]
    meteor = {name: full * (name in ("meteor_1", "meteor_2")) for name in MeteorScorer.statistics}
    meteor |= dict.fromkeys(("meteor_5", "meteor_6", "meteor_22", "meteor_23"), right) | {"meteor_21": right / 2}
    counts = dict(zip(BleuScorer.statistics, bleu, strict=True)) | meteor
    sums = {scorer: np.sum([counts[name] for name in scorer.statistics], axis=1)[None] for scorer in (BleuScorer, MeteorScorer)}
    figures = {name: 100 * float(value[0]) for scorer, own in sums.items() for name, value in scorer.from_sums(own).items()}
    one = result(root, fingerprint, [0.0] * len(samples), samples=samples, task="captioning", metrics=figures | metrics)
    clips = [name.partition("#")[0] for name in samples]
    pq.write_table(pa.table({"sample": samples, "video_id": clips, **counts}), one.folder / "scores_captioning.parquet")
    return one


@pytest.mark.parametrize(("metric", "scorer"), [("bleu1", BleuScorer), ("bleu4", BleuScorer), ("meteor", MeteorScorer)])
def test_metrics_of_counts_are_tested_by_their_counts(tmp_path: Path, metric: str, scorer: type[BleuScorer]) -> None:
    worse, better = counted(tmp_path, "abc", 6), counted(tmp_path, "def", 9)
    found = paired_difference(worse, better, metric)
    assert found is not None
    assert worse.manifest is not None
    assert better.manifest is not None
    assert found.difference == pytest.approx(better.manifest.metrics[metric] - worse.manifest.metrics[metric])
    assert 0 < found.low < found.difference < found.high
    assert (found.samples, found.p < 0.001) == (40, True)
    tables = [pq.read_table(one.folder / "scores_captioning.parquet") for one in (better, worse)]
    counts = [np.stack([table[name].to_numpy() for name in scorer.statistics], axis=1) for table in tables]
    again = paired_test_of_counts(*counts, lambda sums: {metric: 100 * scorer.from_sums(sums)[metric]}, groups=SAMPLES)
    assert (found.difference, found.low, found.high, found.p) == pytest.approx(again[metric])
    turned = paired_difference(better, worse, metric)
    assert turned is not None
    assert turned.difference == pytest.approx(-found.difference)


def test_counts_of_the_same_clips_only_and_only_if_they_give_the_metric(tmp_path: Path) -> None:
    worse, part = counted(tmp_path, "abc", 6), counted(tmp_path, "def", 9, [*SAMPLES[30:], "other#0"])
    found = paired_difference(worse, part, "bleu4")
    assert found is not None
    assert found.samples == 10
    assert paired_difference(worse, counted(tmp_path, "ghi", 9, bleu4=1.0), "bleu4") is None
    assert paired_difference(worse, counted(tmp_path, "jkl", 9, ["other#0", "one#0"]), "bleu4") is None
    assert paired_difference(worse, result(tmp_path, "mno", WORSE, metrics={"bleu4": 30.0}), "bleu4") is None
