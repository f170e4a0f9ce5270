"""How far a metric would move with other samples of the same kind: bootstrap intervals, and a paired test of two models.

Samples that share a clip are not independent, so that clips are drawn, each with all its samples (the cluster bootstrap; Field
and Welsh, 2007). An interval says what the choice of clips does to a number, and nothing of the choice of a seed in training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosa.errors import DataError

LEVEL = 95.0  # percent of the resamples that an interval holds
RESAMPLES = 1000
FLIPS = 10_000  # resamples of a paired test: its p-value is a multiple of 1 / (FLIPS + 1)
# More clips than this are put together at random into as many pools of equal size, and pools are drawn. The variance that
# resampling sees is the same on average, and its own error is 1 % of the width.
MOST_DRAWN = 5000
CELLS_AT_ONCE = 4_000_000  # of draws: bounds memory to some tens of megabytes

Floats = NDArray[np.float64]


def bootstrap_interval(
    values: ArrayLike, seed: int = 0, resamples: int = RESAMPLES, groups: Sequence[Any] | None = None
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean (Efron, 1979).

    Values that are all equal have an interval without width: resampling cannot see what did not occur.

    Args:
        values: (samples,); NaN where a sample has no value.
        seed: of the draws; the same values and seed give the same interval.
        resamples: how often clips are drawn.
        groups: (samples,) the clip of every sample; without them every sample is drawn by itself.

    Raises:
        DataError: there is no value, or groups and values differ in length.
    """
    kept, of = _finite(values, groups)
    sums = resampled_sums(with_counts([kept]), of, seed, resamples)
    return interval_of(sums[:, 0] / sums[:, 1])


def with_counts(columns: Iterable[ArrayLike]) -> Floats:
    """Columns (samples,) as pairs: the values, 0 where there is none (NaN), and how many there are: (samples, 2 * columns).

    A mean in a resample is the sum of the one over the sum of the other.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    return np.stack([part for array in arrays for part in (np.nan_to_num(array), ~np.isnan(array))], axis=1).astype(np.float64)


def interval_of(resampled: Floats) -> tuple[float, float]:
    """The middle 95 % of what a metric was in the resamples: (resamples,)."""
    rest = (100.0 - LEVEL) / 2
    low, high = np.percentile(resampled, [rest, 100.0 - rest])
    return float(low), float(high)


def paired_test(
    a: ArrayLike, b: ArrayLike, seed: int = 0, resamples: int = FLIPS, groups: Sequence[Any] | None = None
) -> tuple[float, float, float, float]:
    """Compare two models on the same samples.

    Args:
        a: (samples,) values of one model; NaN where a sample has none, for both alike.
        b: (samples,) those of the other.
        seed: of all draws.
        resamples: for the interval and for the test.
        groups: (samples,) the clip of every sample, as in `bootstrap_interval`.

    Returns:
        The mean of a - b, the ends of its 95 % bootstrap interval, and the two-sided p-value of the sign-flip test: how often a
        difference is at least as large if each clip's own differences get a sign at random (Fisher, 1935). It counts the
        observed signs, so that it is never 0.

    Raises:
        DataError: the arrays differ in length or in where they have no value, or there is none.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or (np.isnan(first) != np.isnan(second)).any():
        raise DataError(f"A paired test needs values of the same samples; got {first.shape} and {second.shape} values.")
    kept, of = _finite(first - second, groups)
    low, high = bootstrap_interval(kept, seed, resamples, of)
    difference = float(kept.mean())
    of_clips = pooled(kept[:, None], of, seed)[:, 0]  # (clips,) sums of differences
    total, observed = of_clips.sum(), abs(of_clips.sum()) - 1e-9 * np.abs(of_clips).sum()
    as_large = 1
    for is_flipped in drawn_flips(len(of_clips), seed, resamples):
        as_large += int((np.abs(total - 2 * (is_flipped @ of_clips)) >= observed).sum())
    return difference, low, high, as_large / (resamples + 1)


def resampled_sums(table: Floats, groups: Sequence[Any] | None = None, seed: int = 0, resamples: int = RESAMPLES) -> Floats:
    """Sums of columns over clips that are drawn with replacement: what every metric that is a function of sums follows from.

    Args:
        table: (samples, columns).
        groups: (samples,) the clip of every sample.
        seed: of the draws.
        resamples: how often as many clips as there are are drawn.

    Returns:
        (resamples, columns).
    """
    pools = pooled(table, groups, seed)
    rng = np.random.default_rng(seed)
    found = []
    for count in _portions(resamples, len(pools)):
        drawn = rng.integers(0, len(pools), size=(count, len(pools)))
        drawn += np.arange(count)[:, None] * len(pools)
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(count, len(pools))
        found.append(times.astype(np.float64) @ pools)
    return np.concatenate(found)


def drawn_flips(clips: int, seed: int = 0, resamples: int = FLIPS) -> Iterator[NDArray[np.int8]]:
    """Which clips change sides in each resample of a paired test, 0 or 1, in portions: (some resamples, clips)."""
    rng = np.random.default_rng([seed, 1])
    for count in _portions(resamples, clips):
        yield rng.integers(0, 2, size=(count, clips), dtype=np.int8)


def codes_of(groups: Sequence[Any]) -> NDArray[np.intp]:
    """Clips as numbers from 0: (samples,)."""
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def pooled(table: Floats, groups: Sequence[Any] | None, seed: int) -> Floats:
    """Sums of the rows of every clip, or of every pool of clips if there are many: (clips or pools, columns).

    Raises:
        DataError: there are no rows, or groups and rows differ in number.
    """
    if len(table) == 0:
        raise DataError("There are no samples to draw from; expected at least one.")
    if groups is None:
        sums = table
    else:
        if len(groups) != len(table):
            raise DataError(f"Got {len(groups)} clips for {len(table)} samples; expected one for each.")
        clip = codes_of(groups)
        sums = np.stack([np.bincount(clip, weights=column) for column in table.T], axis=1)
    if len(sums) <= MOST_DRAWN:
        return sums
    pool = np.random.default_rng([seed, 2]).permutation(len(sums)) % MOST_DRAWN
    return np.stack([np.bincount(pool, weights=column) for column in sums.T], axis=1)


def _portions(resamples: int, width: int) -> Iterator[int]:
    """Numbers of resamples that are made at once."""
    step = max(1, CELLS_AT_ONCE // width)
    for start in range(0, resamples, step):
        yield min(step, resamples - start)


def _finite(values: ArrayLike, groups: Sequence[Any] | None) -> tuple[Floats, Sequence[Any] | None]:
    """The values that are not NaN, and their clips."""
    array = np.asarray(values, dtype=np.float64)
    has_one = ~np.isnan(array)
    if array.ndim != 1 or not has_one.any():
        raise DataError(f"Values of shape {array.shape} have no mean; expected a list with at least one number.")
    if groups is not None and len(groups) != len(array):
        raise DataError(f"Got {len(groups)} clips for {len(array)} samples; expected one for each.")
    return array[has_one], None if groups is None else codes_of(groups)[has_one].tolist()
