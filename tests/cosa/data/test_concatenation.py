from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosa.data.concatenation import concatenated_text_limit, draw_partners, join_tokens


@given(st.data(), st.integers(2, 40), st.integers(0, 2**32))
def test_partners_are_distinct_and_never_the_row_itself(data: st.DataObject, batch: int, seed: int) -> None:
    row, partners = data.draw(st.integers(0, batch - 1)), data.draw(st.integers(1, batch - 1))
    drawn = draw_partners(batch, row, partners, np.random.default_rng(seed)).tolist()
    assert len(set(drawn)) == partners
    assert set(drawn) <= set(range(batch)) - {row}


def test_every_other_sample_is_equally_likely_at_every_place() -> None:
    generator, draws = np.random.default_rng(0), 20_000
    rows = np.array([draw_partners(5, 2, 3, generator) for _ in range(draws)])
    for place in range(3):
        counts = Counter(rows[:, place].tolist())
        assert set(counts) == {0, 1, 3, 4}
        assert all(abs(count / draws - 0.25) < 0.02 for count in counts.values())


def test_a_batch_may_be_too_small() -> None:
    with pytest.raises(ValueError, match="cannot draw 3 other samples from a batch of 3"):
        draw_partners(3, 0, 3, np.random.default_rng(0))


def test_texts() -> None:
    assert [concatenated_text_limit(40, n) for n in (1, 2, 3, 4, 5)] == [40, 40, 80, 80, 120]
    assert join_tokens([(1, 2), (), (3,)]) == [1, 2, 3]
