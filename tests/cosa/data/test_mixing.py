"""How corpora take turns."""

import numpy as np
import pytest

from cosa.data.mixing import MIXINGS


def order(mixing: str, *batches: int, seed: int = 1) -> list[int]:
    return [int(corpus) for corpus in MIXINGS[mixing].order(batches, np.random.default_rng(seed))]


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("batches", [(5,), (7, 2), (3, 1, 6), (4, 4, 4)])
def test_every_corpus_gets_its_batches(mixing: str, batches: tuple[int, ...]) -> None:
    assert np.bincount(order(mixing, *batches)).tolist() == list(batches)


def test_proportional_order_follows_the_seed() -> None:
    assert order("proportional", 20, 20) != order("proportional", 20, 20, seed=2)
    assert order("proportional", 20, 20) == order("proportional", 20, 20)


def test_corpora_of_equally_many_batches_alternate() -> None:
    assert order("round_robin", 3, 3) == [0, 1, 0, 1, 0, 1]
    assert order("accumulated", 2, 2, 2) == [0, 1, 2, 0, 1, 2]


def test_a_smaller_corpus_is_spread_over_the_run() -> None:
    assert order("round_robin", 6, 2) == [0, 0, 1, 0, 0, 0, 1, 0]
    places = np.flatnonzero(np.array(order("round_robin", 220, 30)) == 1)
    assert np.diff(places).min() >= 8
    assert np.diff(places).max() <= 9
