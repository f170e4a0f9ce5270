from collections import Counter
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cosa.token_masking import FIRST_RANDOM_ID, IGNORED, mask_tokens

MASK, VOCABULARY = 103, 500


def draw(candidates: Tensor, probability: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    ids = 200 + torch.arange(candidates.numel()).view_as(candidates) % 50
    generator = torch.Generator().manual_seed(seed)
    masked, labels = mask_tokens(ids, candidates, probability, mask_id=MASK, vocabulary_size=VOCABULARY, generator=generator)
    return ids, masked, labels


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=5), st.floats(0.01, 1), st.integers(0, 99)
)
def test_only_candidates_and_at_least_one(rows: list[list[bool]], probability: float, seed: int) -> None:
    candidates = torch.tensor(rows)
    ids, masked, labels = draw(candidates, probability, seed)
    chosen = labels != IGNORED
    assert not (chosen & ~candidates).any()
    assert torch.equal(chosen.any(1), candidates.any(1))
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(masked[~chosen], ids[~chosen])
    if probability == 1.0:
        assert torch.equal(chosen, candidates)


@pytest.mark.parametrize("probability", [0.15, 0.6])
@pytest.mark.parametrize("pattern", [[True], [False, True, True, True, False], [True, False, True, True, True]])
def test_distribution_is_that_of_redrawing_until_something_is_masked(pattern: list[bool], probability: float) -> None:
    draws = 60_000
    candidates = torch.tensor([pattern]).expand(draws, -1)
    _, _, labels = draw(candidates, probability)
    found = Counter(map(tuple, (labels != IGNORED).tolist()))
    n = sum(pattern)
    nonempty = 1 - (1 - probability) ** n
    for choice in product([False, True], repeat=n):
        remaining = iter(choice)
        subset = tuple(candidate and next(remaining) for candidate in pattern)
        k = sum(choice)
        expected = probability**k * (1 - probability) ** (n - k) / nonempty if k else 0.0
        tolerance = 5 * (expected * (1 - expected) / draws) ** 0.5 + 1e-9
        assert found[subset] / draws == pytest.approx(expected, abs=tolerance)


def test_eighty_ten_ten() -> None:
    candidates = torch.ones(2000, 20, dtype=torch.bool)
    ids, masked, labels = draw(candidates, 1.0)
    hidden, kept = masked == MASK, masked == ids
    random = masked[~hidden & ~kept]
    count = labels.numel()
    assert hidden.sum() / count == pytest.approx(0.8, abs=0.01)
    assert kept.sum() / count == pytest.approx(0.1, abs=0.01)
    assert random.min() >= FIRST_RANDOM_ID
    assert random.max() < VOCABULARY
    assert len(random.unique()) > 0.95 * (VOCABULARY - FIRST_RANDOM_ID - 1)


def test_repeats_with_its_seed_and_leaves_its_input_alone() -> None:
    candidates = torch.ones(4, 9, dtype=torch.bool)
    first, second, other = draw(candidates, 0.5, 1), draw(candidates, 0.5, 1), draw(candidates, 0.5, 2)
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])
    assert candidates.all()
