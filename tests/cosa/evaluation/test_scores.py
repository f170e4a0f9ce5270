import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cosa.evaluation import scores as module
from cosa.evaluation.retrieval_metrics import retrieval_metrics
from cosa.evaluation.scores import DenseScores, Reranked, Similarities, best_columns, chunks

FEW_VALUES = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 1.0])  # many ties


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 8)), elements=FEW_VALUES), st.integers(1, 10))
def test_best_columns_are_the_first_of_a_stable_sort(scores: np.ndarray, k: int) -> None:
    assert best_columns(scores, k).tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()


def vectors(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 16), dtype=np.float32)


@pytest.mark.parametrize("others_zero", [False, True])
def test_blocks_give_the_metrics_of_the_full_matrix(monkeypatch: pytest.MonkeyPatch, others_zero: bool) -> None:
    similarities = Similarities(vectors(30, 0) / 10, vectors(12, 1) / 10)
    full = similarities.rows(0, 30)
    candidates = best_columns(full, 4)
    match = np.random.default_rng(2).random((30, 4))
    expected = np.zeros((30, 12)) if others_zero else full.astype(np.float64) - 10
    for row in range(30):
        for column, value in zip(candidates[row], match[row], strict=True):
            expected[row, column] = value
    reranked = Reranked(similarities, candidates, match, others_zero)
    owner = np.arange(30) % 12
    monkeypatch.setattr(module, "CELLS_PER_CHUNK", 50)
    assert [rows.stop - rows.start for rows, _ in chunks(reranked)] == [4] * 7 + [2]
    np.testing.assert_allclose(np.concatenate([block for _, block in chunks(reranked)]), expected, atol=1e-6)
    found = retrieval_metrics(reranked, owner, video_to_text=True)
    monkeypatch.undo()
    assert found == retrieval_metrics(expected, owner, video_to_text=True)
    assert found == retrieval_metrics(DenseScores(expected), owner, video_to_text=True)
