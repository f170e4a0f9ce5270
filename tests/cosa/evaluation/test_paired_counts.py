"""The paired test of metrics that follow from counts, against captions that are really swapped, drawn and scored again."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from cosa.errors import DataError
from cosa.evaluation.caption_metrics import score_tokenized, started_scorers
from cosa.evaluation.caption_scorers.bleu import BleuScorer
from cosa.evaluation.caption_scorers.meteor import STATISTICS, MeteorScorer
from cosa.evaluation.clip_scores import counts_of
from cosa.evaluation.intervals import Floats
from cosa.evaluation.paired_counts import paired_test_of_counts

REFERENCES = [
    ["a man sings a song", "someone is singing"],
    ["a dog runs over the grass"],
    ["two cars drive down a road", "cars on a road"],
    ["a woman cuts an onion"],
    ["children play football in the park", "kids are playing"],
    ["a cat sleeps on a chair"],
]
ONE = ["a man sings a song", "a dog runs on grass", "two cars on a road", "a woman cuts", "kids play", "a cat sleeps on a bed"]
OTHER = ["a man is here", "a dog runs over the grass", "a car", "a woman cuts an onion", "two men", "a chair"]
METRICS = ("bleu1", "bleu4")


def scored(captions: Sequence[str], references: Sequence[Sequence[str]] = REFERENCES) -> tuple[dict[str, float], Floats]:
    """BLEU of all clips, and the counts of each."""
    predictions = {str(clip): [text] for clip, text in enumerate(captions)}
    with started_scorers(METRICS) as scorers:
        found = score_tokenized(predictions, {str(n): list(texts) for n, texts in enumerate(references)}, METRICS, scorers)
    [counts] = found.statistics.values()
    return found.metrics, np.stack(list(counts.values()), axis=1)


def bleu(sums: Floats) -> dict[str, Floats]:
    counts = counts_of("bleu4")
    assert counts is not None
    assert counts.columns == BleuScorer.statistics
    return dict(counts.from_sums(sums))


def test_the_difference_is_that_of_the_metrics_and_p_that_of_all_swaps() -> None:
    (one, counts_of_one), (other, counts_of_other) = scored(ONE), scored(OTHER)
    found = paired_test_of_counts(counts_of_one, counts_of_other, bleu)
    for metric in METRICS:
        as_large = 0
        for swaps in product([False, True], repeat=len(ONE)):
            first = [b if swap else a for a, b, swap in zip(ONE, OTHER, swaps, strict=True)]
            second = [a if swap else b for a, b, swap in zip(ONE, OTHER, swaps, strict=True)]
            difference = scored(first)[0][metric] - scored(second)[0][metric]
            as_large += abs(difference) >= abs(one[metric] - other[metric]) - 1e-9
        difference, low, high, p = found[metric]
        assert difference == pytest.approx(one[metric] - other[metric], rel=1e-12)
        assert p == pytest.approx(as_large / 2 ** len(ONE), abs=0.02)
        assert low < difference < high


def test_the_interval_is_that_of_clips_drawn_for_both_and_scored_again() -> None:
    (_, counts_of_one), (_, counts_of_other) = scored(ONE), scored(OTHER)
    found = paired_test_of_counts(counts_of_one, counts_of_other, bleu, seed=3, resamples=40)
    drawn = np.random.default_rng(3).integers(0, len(ONE), size=(40, len(ONE)))
    differences = []
    for clips in drawn:
        references = [REFERENCES[clip] for clip in clips]
        a, b = (scored([captions[clip] for clip in clips], references)[0] for captions in (ONE, OTHER))
        differences.append(a["bleu4"] - b["bleu4"])
    assert found["bleu4"][1:3] == pytest.approx(np.percentile(differences, [2.5, 97.5]), rel=1e-9)


def test_samples_of_a_clip_change_sides_together() -> None:
    (_, one), (_, other) = scored(ONE), scored(OTHER)
    twice = [np.repeat(counts, 2, axis=0) for counts in (one, other)]
    clips = np.repeat(np.arange(len(ONE)), 2).tolist()
    together = paired_test_of_counts(*twice, bleu, groups=clips)
    assert together["bleu4"] == pytest.approx(paired_test_of_counts(one, other, bleu)["bleu4"], rel=1e-6)
    assert paired_test_of_counts(*twice, bleu)["bleu1"][3] < together["bleu1"][3]


def test_equal_models_do_not_differ() -> None:
    _, counts = scored(ONE)
    assert paired_test_of_counts(counts, counts, bleu)["bleu4"] == (0.0, 0.0, 0.0, 1.0)


def test_p_values_of_equal_models_are_uniform() -> None:
    """Counts as METEOR's: neither model is the better one."""
    generator = np.random.default_rng(0)
    assert MeteorScorer.statistics == STATISTICS
    p = []
    for seed in range(200):
        tables = generator.integers(1, 9, size=(2, 30, len(STATISTICS))).astype(np.float64)
        tables[:, :, 0:2] += 30
        p.append(paired_test_of_counts(*tables, MeteorScorer.from_sums, seed, resamples=200)["meteor"][3])
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.10
    assert np.mean(p) == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((2, 10)), np.ones((3, 10))),
        (np.ones(10), np.ones(10)),
        (np.full((2, 10), np.nan), np.ones((2, 10))),
        (np.ones((0, 10)), np.ones((0, 10))),
    ],
)
def test_other_samples_are_refused(a: Floats, b: Floats) -> None:
    with pytest.raises(DataError, match=r"same samples|no samples"):
        paired_test_of_counts(a, b, bleu)
