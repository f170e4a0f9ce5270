"""A paired test of two models by metrics that follow from counts added up over clips, as BLEU and METEOR do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cosa.errors import DataError
from cosa.evaluation.intervals import FLIPS, Floats, drawn_flips, interval_of, pooled, resampled_sums

ROUNDING = 1e-9  # of a metric: differences that are equal up to this are as large as each other


def paired_test_of_counts(
    a: Floats,
    b: Floats,
    from_sums: Callable[[Floats], Mapping[str, Floats]],
    seed: int = 0,
    resamples: int = FLIPS,
    groups: Sequence[Any] | None = None,
) -> dict[str, tuple[float, float, float, float]]:
    """Compare two models on the same samples by metrics of all samples together.

    Args:
        a: (samples, counts) of one model.
        b: those of the other.
        from_sums: takes sums of counts, (sets, counts), and gives metrics: (sets,).
        seed: of all draws.
        resamples: for the interval and for the test.
        groups: (samples,) the clip of every sample; without them every sample is a clip.

    Returns:
        By metric a's minus b's, the ends of its 95 % bootstrap interval (the same clips are drawn for both), and the two-sided
        p-value of the approximate randomisation test: how often the difference is at least as large if the models' counts are
        swapped in each clip with probability 1/2 (Noreen, 1989). It counts the observed assignment, so that it is never 0.

    Raises:
        DataError: the tables differ in shape, have no rows, or hold a count that is no number.
    """
    if a.shape != b.shape or a.ndim != 2 or not np.isfinite(a).all() or not np.isfinite(b).all():
        raise DataError(f"A paired test needs counts of the same samples; got tables of {a.shape} and {b.shape}.")
    width, both = a.shape[1], np.concatenate([a, b], axis=1)

    def differences(sums_of_a: Floats, sums_of_b: Floats) -> dict[str, Floats]:
        of_a, of_b = from_sums(sums_of_a), from_sums(sums_of_b)
        return {name: of_a[name] - of_b[name] for name in of_a}

    resampled = resampled_sums(both, groups, seed, resamples)
    drawn = differences(resampled[:, :width], resampled[:, width:])
    of_clips = pooled(both, groups, seed)
    gaps = of_clips[:, width:] - of_clips[:, :width]  # what a clip's swap adds to the sums of a, and takes from those of b
    total_a, total_b = of_clips[:, :width].sum(axis=0, keepdims=True), of_clips[:, width:].sum(axis=0, keepdims=True)
    observed = {name: float(value[0]) for name, value in differences(total_a, total_b).items()}
    scale = {name: float(abs(value[0])) for name, value in from_sums(total_a).items()}
    as_large = dict.fromkeys(observed, 1)
    for is_swapped in drawn_flips(len(gaps), seed, resamples):
        moved = is_swapped.astype(np.float64) @ gaps
        for name, found in differences(total_a + moved, total_b - moved).items():
            as_large[name] += int((np.abs(found) >= abs(observed[name]) - ROUNDING * scale[name]).sum())
    return {name: (value, *interval_of(drawn[name]), as_large[name] / (resamples + 1)) for name, value in observed.items()}
