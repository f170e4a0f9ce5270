import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cosa.evaluation import scores as module
from cosa.evaluation.retrieval_metrics import retrieval_metrics
from cosa.evaluation.scores import DenseScores, DualSoftmax, Reranked, Similarities, best_columns, chunks

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


def softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    result: np.ndarray = powers / powers.sum(axis=axis, keepdims=True)
    return result


@pytest.mark.parametrize("axis", [0, 1])
def test_dual_softmax_ranks_as_the_full_product_does(monkeypatch: pytest.MonkeyPatch, axis: int) -> None:
    """Over texts (axis 0) for ranking videos, over videos for ranking texts; blocks know nothing of one another."""
    cosines = Similarities(vectors(30, 3) / 16, vectors(12, 4) / 16)
    similarities = cosines.rows(0, 30).astype(np.float64)
    assert 0.2 < (similarities > 0).mean() < 0.8
    product = similarities * softmax(similarities / 0.05, axis)
    monkeypatch.setattr(module, "CELLS_PER_CHUNK", 50)
    dual = DualSoftmax.over_texts(cosines, 0.05) if axis == 0 else DualSoftmax(cosines, 0.05)
    found = np.concatenate([block for _, block in chunks(dual)])
    positive = similarities > 0
    assert np.exp(found[positive]) == pytest.approx(product[positive], rel=1e-5)
    assert found[~positive].max() < found[positive].min()
    assert np.argsort(found[~positive]).tolist() == np.argsort(similarities[~positive]).tolist()


def test_a_video_that_is_like_everything_is_less_of_an_answer() -> None:
    """Similarity prefers the hub for both texts; each text is the best of one other video."""
    similarities = DenseScores(np.array([[0.9, 0.88, 0.1], [0.9, 0.1, 0.88]]))
    owner = np.array([1, 2])
    assert retrieval_metrics(similarities, owner)["text_to_video_r1"] == 0.0
    assert retrieval_metrics(DualSoftmax.over_texts(similarities, 0.05), owner)["text_to_video_r1"] == 100.0


def test_products_that_would_underflow_keep_their_order_behind_candidates() -> None:
    similarities = DenseScores(np.array([[1.0, 0.5, 0.4, 0.3], [1.0, 0.9, 0.9, 0.9]]))
    dual = DualSoftmax.over_texts(similarities, 1e-3)
    assert np.exp(dual.rows(0, 1)[0, 1:]).max() < 1e-150
    scores = Reranked(dual, np.array([[3], [0]]), np.array([[1e-9], [0.5]])).rows(0, 2)
    assert best_columns(scores, 4)[0].tolist() == [3, 0, 1, 2]
    assert len(set(scores[0].tolist())) == 4
