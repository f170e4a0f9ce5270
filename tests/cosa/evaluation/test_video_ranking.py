import numpy as np
import pytest
import torch

from cosa.data.annotations import CaptionEntry
from cosa.evaluation import video_ranking as retrieval
from cosa.evaluation.encoding import share_of_worker
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.evaluation.retrieval_metrics import retrieval_metrics
from cosa.evaluation.video_ranking import evaluate_retrieval
from cosa.model import COSA
from tests.support import CAPTIONS, FAMILIES, Family, random_clips, tiny_model

CPU = torch.device("cpu")
ENTRIES = [CaptionEntry(f"video{i}", tuple(CAPTIONS[i : i + 1 + i % 3]), i) for i in range(6)]  # one to three captions a video
TEXTS = [caption for entry in ENTRIES for caption in entry.captions]
OWNER = np.array([i for i, entry in enumerate(ENTRIES) for _ in entry.captions])


def run(
    model: COSA, *, rerank: int = 50, batch: int = 4, video_to_text: bool = False, dual_softmax: bool = False
) -> EvaluationResult:
    return evaluate_retrieval(
        model,
        ENTRIES,
        random_clips,
        rerank=rerank,
        video_to_text=video_to_text,
        batch_size=batch,
        max_text_tokens=16,
        device=CPU,
        dual_softmax=dual_softmax,
    )


@torch.no_grad()
def brute_force(model: COSA) -> tuple[np.ndarray, np.ndarray]:
    """Similarity and match probability of every pair, each pair alone: (texts, videos)."""
    similarity = np.zeros((len(TEXTS), len(ENTRIES)))
    match = np.zeros_like(similarity)
    for column, entry in enumerate(ENTRIES):
        features = model.encode_video(random_clips(entry.video_id, None)[None])
        memory = model.video_memory(features)
        for row, text in enumerate(TEXTS):
            ids = model.tokenizer.batch([text], 16)
            similarity[row, column] = (model.text_contrastive(ids) @ model.video_contrastive(features).T).item()
            match[row, column] = model.matching_logits(ids, memory).softmax(-1)[0, 1].item()
    return similarity, match


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch", [1, 4, 64])
def test_equals_scoring_every_pair_alone(family: Family, batch: int) -> None:
    model = tiny_model(family, spread=0.4)
    similarity, match = brute_force(model)
    result = run(model, batch=batch, video_to_text=True)
    expected = retrieval_metrics(match, OWNER, video_to_text=True)
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)
    contrastive = retrieval_metrics(similarity, OWNER)
    assert result.metrics["contrastive_text_to_video_r1"] == contrastive["text_to_video_r1"]
    for row, prediction in enumerate(result.predictions):
        order = np.argsort(-match[row])
        assert prediction["text"] == TEXTS[row]
        assert prediction["video_id"] == ENTRIES[OWNER[row]].video_id
        assert prediction["ranked"] == [f"video{i}" for i in order]
        assert prediction["scores"] == pytest.approx(match[row, order], abs=1e-3)


@pytest.mark.parametrize("rerank", [1, 2, 4])
def test_only_the_best_are_ranked_again(rerank: int) -> None:
    model = tiny_model(spread=0.4)
    similarity, match = brute_force(model)
    for row, prediction in enumerate(run(model, rerank=rerank).predictions):
        by_similarity = np.argsort(-similarity[row])
        best, others = by_similarity[:rerank], by_similarity[rerank:]
        expected = [*sorted(best, key=lambda i: -match[row, i]), *others]
        assert prediction["ranked"] == [f"video{i}" for i in expected]


def test_recalls_before_re_ranking_are_given_where_it_changes_anything() -> None:
    model = tiny_model(spread=0.4)
    alone, two = run(model, rerank=1).metrics, run(model, rerank=2).metrics
    assert set(two) - set(alone) == {"contrastive_text_to_video_r1", "contrastive_text_to_video_r5"}
    assert two["contrastive_text_to_video_r1"] == alone["text_to_video_r1"]


@pytest.mark.parametrize("rerank", [1, 4])
def test_near_ties_keep_their_order(monkeypatch: pytest.MonkeyPatch, rerank: int) -> None:
    """Similarities that differ in the last bit of float32, and match probabilities that float32 would round to 1."""
    model, step = tiny_model(), float(np.spacing(np.float32(0.1)))
    vectors = torch.tensor([[0.1 + i * step, 1.0] for i in range(4)])
    assert len(vectors[:, 0].unique()) == 4
    monkeypatch.setattr(model, "video_contrastive", lambda features: vectors)
    monkeypatch.setattr(model, "text_contrastive", lambda ids: torch.tensor([[1.0, 0.0]]))
    monkeypatch.setattr(model, "config", model.config.model_copy(update={"contrastive_dim": 2}))
    scores = torch.tensor([[0.0, 20.0 + i] for i in range(4)])
    monkeypatch.setattr(model.matching_head, "forward", lambda hidden: scores[: len(hidden)])
    entries = [CaptionEntry("v0", ("a dog",), 0), *(CaptionEntry(f"v{i}", (), i) for i in (1, 2, 3))]
    result = evaluate_retrieval(
        model, entries, random_clips, rerank=rerank, video_to_text=False, batch_size=64, max_text_tokens=8, device=CPU
    )
    assert result.predictions[0]["ranked"] == ["v3", "v2", "v1", "v0"]


@pytest.mark.parametrize("rerank", [1, 3])
def test_dual_softmax_chooses_candidates_and_ranks_the_others(monkeypatch: pytest.MonkeyPatch, rerank: int) -> None:
    """Over texts for ranking videos, over videos for ranking texts."""
    model = tiny_model(spread=0.4)
    encode = model.text_contrastive  # of this model, whose similarities are all negative
    monkeypatch.setattr(model, "text_contrastive", lambda ids: -encode(ids))
    similarity, match = brute_force(model)
    logits = similarity / float(model.temperature.detach())
    assert similarity.min() > 0
    to_video, to_text = (similarity * np.exp(logits) / np.exp(logits).sum(axis=axis, keepdims=True) for axis in (0, 1))
    result = run(model, rerank=rerank, video_to_text=True, dual_softmax=True)
    full = {"videos": to_video - 1000, "texts": to_text - 1000}
    for row, prediction in enumerate(result.predictions):
        order = np.argsort(-to_video[row])
        best, others = order[:rerank], order[rerank:]
        ranked = [*sorted(best, key=lambda i: -match[row, i]), *others]
        assert prediction["ranked"] == [f"video{i}" for i in ranked]
        for scores in full.values():
            scores[row, best] = match[row, best]
    expected = retrieval_metrics(full["videos"], OWNER)
    backwards = retrieval_metrics(full["texts"], OWNER, video_to_text=True)
    expected |= {name: value for name, value in backwards.items() if name.startswith("video_to_text")}
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)
    if rerank > 1:
        before = retrieval_metrics(to_video, OWNER)["text_to_video_r1"]
        assert result.metrics["contrastive_text_to_video_r1"] == before


def test_padding_in_the_middle_of_a_text_is_not_the_end() -> None:
    ids = torch.tensor([[101, 0, 5, 102, 0], [101, 102, 0, 0, 0]])
    assert retrieval._lengths(ids, 0).tolist() == [4, 2]


def test_shares_cover_everything_once() -> None:
    for count in range(8):
        for workers in (1, 2, 3):
            shares = [share_of_worker(count, rank, workers).tolist() for rank in range(workers)]
            assert [i for share in shares for i in share] == list(range(count))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("rerank", [1, 2, 50])
def test_texts_are_ranked_within_their_galleries(rerank: int) -> None:
    model = tiny_model(spread=0.4)
    similarity, match = brute_force(model)
    galleries = np.array([0, 0, 1, 0, 1, 2])
    result = evaluate_retrieval(
        model, ENTRIES, random_clips, rerank=rerank, video_to_text=True, batch_size=4, max_text_tokens=16, device=CPU,
        galleries=galleries.tolist(),
    )  # fmt: skip
    own = galleries[OWNER][:, None] == galleries
    scores = np.where(own, similarity - 1000, -np.inf)
    for row, prediction in enumerate(result.predictions):
        order = [i for i in np.argsort(-similarity[row]) if own[row, i]]
        best = order[: min(rerank, 3)]
        scores[row, best] = match[row, best]
        ranked = [*sorted(best, key=lambda i: -match[row, i]), *order[len(best) :]]
        assert prediction["ranked"] == [f"video{i}" for i in ranked]
        assert len(prediction["scores"]) == len(ranked)
    expected = retrieval_metrics(scores, OWNER, video_to_text=True)
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)
    if rerank > 1:
        before = retrieval_metrics(np.where(own, similarity, -np.inf), OWNER)
        assert result.metrics["contrastive_text_to_video_r1"] == before["text_to_video_r1"]
