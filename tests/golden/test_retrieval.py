"""Retrieval evaluation: similarities, candidates, re-ranking and metrics, with one and with several captions a video."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cosa.behaviour import PUBLISHED
from cosa.data.annotations import CaptionEntry
from cosa.evaluation.retrieval_metrics import retrieval_metrics, text_to_video_ranks
from cosa.evaluation.scores import Scores
from cosa.evaluation.video_ranking import RetrievalScores, evaluate_retrieval, score_retrieval
from tests.golden import golden
from tests.golden.golden import Encoder

pytestmark = pytest.mark.golden
CASES = sorted({name for e in golden.ENCODERS for name in golden.record(e, "retrieval_eval") if "_" in name and
                isinstance(golden.record(e, "retrieval_eval")[name], dict)})  # fmt: skip
NAMES = {"video": "text_to_video", "txt": "video_to_text"}


def behaviour_of(case: str) -> Any:
    """`half` ran the full model in float16: it can only be compared loosely, with the rounded one."""
    return replace(PUBLISHED, half_features=not case.endswith("fp32"))


def texts_of(encoder: Encoder, case: str) -> tuple[list[str], np.ndarray]:
    found = golden.record(encoder, "retrieval_eval")
    videos = len(found[case]["ids"])
    if case.startswith("single"):
        return golden.config()["captions"][:videos], np.arange(videos)
    return found["raw_sentences_multi"], np.repeat(np.arange(videos), found["sample_num_multi"])


def settings_of(encoder: Encoder) -> dict[str, Any]:
    return {
        "rerank": golden.record(encoder, "retrieval_eval")["itm_rerank_num"],
        "batch_size": 5,
        "max_text_tokens": golden.option("max_text_tokens"),
        "device": torch.device("cpu"),
    }


def scores_of(encoder: Encoder, case: str) -> RetrievalScores:
    expected = golden.record(encoder, "retrieval_eval")[case]
    texts, _ = texts_of(encoder, case)
    videos = [str(index) for index in range(len(expected["ids"]))]
    return score_retrieval(
        golden.model_of(encoder), videos, texts, lambda name, _: golden.pixels()[int(name)], behaviour=behaviour_of(case),
        **settings_of(encoder),
    )  # fmt: skip


def rows_of(scores: Scores) -> np.ndarray:
    return scores.rows(0, scores.shape[0])


def same_metrics(found: dict[str, float], expected: dict[str, Any]) -> None:
    """Published names: r1, recall 'r1/r5/r10', ravg; `video` is text-to-video, `txt` video-to-text."""
    compared = 0
    for theirs, ours in NAMES.items():
        if f"{theirs}_r1" in expected:
            recalls = [f"{round(found[f'{ours}_r{k}'], 1):.1f}" for k in (1, 5, 10)]
            assert "/".join(recalls) == expected[f"{theirs}_recall"]
            assert round(found[f"{ours}_r1"], 1) == pytest.approx(expected[f"{theirs}_r1"])
            assert round(found[f"{ours}_mean_r"], 1) == pytest.approx(expected[f"{theirs}_ravg"])
            compared += 1
    assert compared


@pytest.mark.parametrize("case", CASES)
def test_scores(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "retrieval_eval")[case]
    found = scores_of(encoder, case)
    _, owner = texts_of(encoder, case)
    assert [f"video{index}" for index in owner] == expected["ids_txt"]
    loosely = case.endswith("half")
    tolerance = {"atol": 2e-2, "rtol": 0.0} if loosely else golden.FEATURES
    torch.testing.assert_close(torch.from_numpy(rows_of(found.similarities)), expected["score_matrix"].float(), **tolerance)
    if loosely:
        return
    assert np.array_equal(found.candidates, expected["topk"].numpy())
    torch.testing.assert_close(
        torch.from_numpy(rows_of(found.reranked)).float(), expected["itm_score_matrix"].float(), **tolerance
    )
    for name, scores in (("ranks_t2v", found.similarities), ("ranks_t2v_itm", found.reranked)):
        assert (text_to_video_ranks(scores, owner, ties="index") - 1).tolist() == expected[name]


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith("half")])
def test_metrics(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "retrieval_eval")[case]
    found, (_, owner) = scores_of(encoder, case), texts_of(encoder, case)
    for name, scores in (("t_v", found.similarities), ("t_v_itm", found.reranked)):
        metrics = retrieval_metrics(scores, owner, video_to_text=True, ties=PUBLISHED.ties)
        same_metrics(metrics, expected["metrics"][name])
        same_metrics(metrics, expected["metrics_with_text"][name])


@pytest.mark.parametrize("case", [case for case in CASES if case.endswith("half")])
def test_recalls_of_recorded_half_scores(encoder: Encoder, case: str) -> None:
    """float16 scores tie, and the published sort leaves the order of ties open: recalls lie between the two extremes."""
    expected, (_, owner) = golden.record(encoder, "retrieval_eval")[case], texts_of(encoder, case)
    for name, key in (("t_v", "score_matrix"), ("t_v_itm", "itm_score_matrix")):
        scores = expected[key].double().numpy()
        own = np.zeros_like(scores)
        own[np.arange(len(owner)), owner] = 1e-9  # below any difference of float16 scores: the right one wins a tie
        worst = retrieval_metrics(scores, owner, video_to_text=True)
        best = retrieval_metrics(scores + own, owner, video_to_text=True)
        for theirs, ours in NAMES.items():
            recorded = map(float, expected["metrics_with_text"][name][f"{theirs}_recall"].split("/"))
            for k, value in zip((1, 5, 10), recorded, strict=True):
                assert round(worst[f"{ours}_r{k}"], 1) <= value <= round(best[f"{ours}_r{k}"], 1)


@pytest.mark.parametrize("case", [case for case in CASES if case.endswith("rounded")])
def test_evaluation_in_one_call(encoder: Encoder, case: str) -> None:
    """What a spec with `behaviour: published` reports."""
    expected, (texts, owner) = golden.record(encoder, "retrieval_eval")[case], texts_of(encoder, case)
    entries = [
        CaptionEntry(str(video), tuple(text for text, its in zip(texts, owner, strict=True) if its == video), 1)
        for video in range(len(expected["ids"]))
    ]
    result = evaluate_retrieval(
        golden.model_of(encoder), entries, lambda name, _: golden.pixels()[int(name)], video_to_text=True,
        behaviour=PUBLISHED, **settings_of(encoder),
    )  # fmt: skip
    same_metrics(result.metrics, expected["metrics_with_text"]["t_v_itm"])


def test_features(encoder: Encoder) -> None:
    expected = golden.record(encoder, "retrieval_eval")
    model = golden.model_of(encoder)
    ids = golden.text_ids(encoder, expected["raw_sentences_multi"], golden.option("max_text_tokens"))
    with torch.no_grad():
        golden.close(model.text_contrastive(ids), expected["feat_t_multi"])
        golden.close(model.video_contrastive(golden.video_of(encoder).features(len(expected["feat_v"]))), expected["feat_v"])
