"""Bootstrap intervals and paired tests: they cover, they know clips, and they are repeatable."""

import numpy as np
import pytest

from cosa.errors import DataError
from cosa.evaluation import intervals
from cosa.evaluation.intervals import bootstrap_interval, paired_test, resampled_sums

NORMAL = 1.959964


def test_the_interval_of_a_mean_is_that_of_the_central_limit_theorem() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=1500)
    low, high = bootstrap_interval(values)
    half = NORMAL * values.std() / len(values) ** 0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    samples = generator.random((300, 80)) < 0.3
    covered = [low <= 0.3 <= high for low, high in (bootstrap_interval(one, seed) for seed, one in enumerate(samples))]
    assert 0.90 <= np.mean(covered) <= 0.98


def test_samples_of_a_clip_are_drawn_together() -> None:
    """Four equal samples a clip say no more than one: an interval of independent samples would be half as wide."""
    of_clips = np.random.default_rng(2).normal(size=400)
    values, clips = np.repeat(of_clips, 4), np.repeat(np.arange(400), 4).tolist()
    together, alone = bootstrap_interval(values, groups=clips), bootstrap_interval(values)
    assert together == pytest.approx(bootstrap_interval(of_clips), abs=0.02)
    assert together[1] - together[0] == pytest.approx(2 * (alone[1] - alone[0]), rel=0.15)


def test_clips_of_different_size_weigh_by_their_samples() -> None:
    values, clips = [0.0] * 90 + [100.0] * 10, ["a"] * 90 + ["b"] * 10
    assert bootstrap_interval(values, groups=clips) == (0.0, 100.0)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=50)
    assert bootstrap_interval(values, 4) == bootstrap_interval(values, 4) != bootstrap_interval(values, 5)


def test_samples_without_a_value_do_not_count() -> None:
    values, clips = np.array([1.0, np.nan, 3.0, np.nan]), ["a", "b", "c", "c"]
    assert bootstrap_interval(values, groups=clips) == bootstrap_interval([1.0, 3.0], groups=["a", "c"])


def test_many_clips_are_drawn_in_pools_that_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(size=20_000)
    pooled = bootstrap_interval(values)
    monkeypatch.setattr(intervals, "MOST_DRAWN", 10**9)
    exact = bootstrap_interval(values)
    assert pooled == pytest.approx(exact, abs=0.12 * (exact[1] - exact[0]))
    assert pooled != exact


def test_blocks_of_draws_change_nothing_but_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(7).normal(size=(30, 2))
    at_once = resampled_sums(table, resamples=50)
    monkeypatch.setattr(intervals, "CELLS_AT_ONCE", 7 * 30)
    assert resampled_sums(table, resamples=50) == pytest.approx(at_once)
    assert at_once.shape == (50, 2)


@pytest.mark.parametrize(("values", "groups"), [([], None), ([np.nan], None), ([[1.0]], None), ([1.0, 2.0], ["a"])])
def test_what_has_no_mean_is_refused(values: list[float], groups: list[str] | None) -> None:
    with pytest.raises(DataError, match="expected"):
        bootstrap_interval(values, groups=groups)


def test_a_paired_test_sees_a_difference_that_intervals_hide() -> None:
    generator = np.random.default_rng(8)
    a = generator.normal(size=300)
    b = a - 0.1 + 0.2 * generator.normal(size=300)
    difference, low, high, p = paired_test(a, b)
    assert difference == pytest.approx((a - b).mean())
    assert low < difference < high
    assert low > 0
    assert p < 0.001
    (low_a, _), (_, high_b) = bootstrap_interval(a), bootstrap_interval(b)
    assert low_a < high_b


def test_p_values_of_equal_models_are_uniform() -> None:
    generator = np.random.default_rng(9)
    found = [paired_test(*generator.normal(size=(2, 40)), seed=seed, resamples=500)[3] for seed in range(300)]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.09
    assert np.mean(found) == pytest.approx(0.5, abs=0.07)


def test_p_values_are_those_of_all_signs() -> None:
    a, b = [3.0, 1.0, 4.0, 1.0, 5.0], [1.0, 0.0, 5.0, 0.0, 2.0]
    d = np.subtract(a, b)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1)
    exact = np.mean(np.abs(signs.T @ d) >= abs(d.sum()) - 1e-9)
    assert paired_test(a, b)[3] == pytest.approx(exact, abs=0.02)


def test_equal_values_are_no_difference() -> None:
    assert paired_test([1.0, 2.0], [1.0, 2.0]) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([np.nan, 1.0], [1.0, 1.0])])
def test_other_samples_are_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(DataError, match="same samples"):
        paired_test(a, b)
