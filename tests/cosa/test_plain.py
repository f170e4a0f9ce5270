"""The model against the plain formulation of the benchmarks: the same losses, gradients, texts and scores."""

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.plain import PlainDecoder, PlainLosses, match_scores, padded
from cosa.data.batches import Batch
from cosa.draws import Draws
from cosa.evaluation.feature_store import FeatureStore
from cosa.evaluation.video_ranking import match_probabilities
from cosa.generation import beam_search, generate, greedy, question_prompt
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.training.losses import StepLosses
from tests.cosa.training.test_losses import batch_of
from tests.support import CAPTIONS, FAMILIES, Family, gradients, random_frames, tiny_model

SETTINGS = ObjectiveSettings(itm_ratio=0.7)
LIMIT = 20
ALL = ("itc", "itm", "mlm", "cap", "citc", "citm", "cmlm", "ccap")


def questions(rows: int) -> Batch:
    base, tokenizer = batch_of(("qa",), rows), tiny_model().tokenizer
    return Batch(
        base.corpus, base.objectives, base.media_ids, base.frames, base.identities,
        tokenizer.batch(CAPTIONS[:rows], LIMIT), answer_ids=tokenizer.batch(CAPTIONS[-rows:], 10), answer_position=LIMIT,
    )  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("objectives", [ALL, ("itm", "ccap"), ("qa",)])
def test_losses_and_gradients(family: Family, objectives: tuple[str, ...]) -> None:
    batch = questions(4) if objectives == ("qa",) else batch_of(objectives)
    found: list[Any] = []
    for oracle in (False, True):
        model = tiny_model(family)
        losses_of = PlainLosses(model, SETTINGS, LIMIT) if oracle else StepLosses(model, SETTINGS)
        losses = losses_of(batch, Draws(torch.Generator().manual_seed(3)))
        sum(losses.values()).backward()
        found.append((losses, gradients(model)))
    (ours, ours_gradients), (plain, plain_gradients) = found
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    assert ours_gradients.keys() == plain_gradients.keys()
    for name, gradient in plain_gradients.items():
        size = float(gradient.abs().max())
        torch.testing.assert_close(ours_gradients[name], gradient, atol=2e-4 * size + 1e-6, rtol=1e-3)


@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_captions(beams: int) -> None:
    model = tiny_model(spread=0.3)
    video_input = model.video_input(model.encode_video(random_frames(4, 2)))
    decoder: Any = PlainDecoder(model, video_input, beams)
    expected = greedy(model, decoder, 8) if beams == 1 else beam_search(model, decoder, 8, beams, 0.6, 0)
    memory = model.multimodal.video_memory(video_input)
    assert generate(model, memory, max_tokens=8, beam_size=beams, length_penalty=0.6) == expected


@torch.no_grad()
def test_answers() -> None:
    model = tiny_model(spread=0.3)
    video_input, ids = model.video_input(model.encode_video(random_frames(4, 2))), questions(4).ids
    decoder: Any = PlainDecoder(model, video_input, 1, padded(ids, LIMIT))
    memory = model.multimodal.video_memory(video_input)
    prompt = question_prompt(model, memory, ids, LIMIT)
    assert generate(model, memory, max_tokens=6, prompt=prompt) == greedy(model, decoder, 6)


@pytest.mark.parametrize(("visual_tokens", "text_tokens"), [(1, 1), (100, 30), (10_000, 10_000)])
@torch.no_grad()
def test_match_probabilities(visual_tokens: int, text_tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many videos and texts are taken at once."""
    monkeypatch.setattr("cosa.evaluation.video_ranking.VISUAL_TOKENS_AT_ONCE", visual_tokens)
    monkeypatch.setattr("cosa.evaluation.video_ranking.TEXT_TOKENS_AT_ONCE", text_tokens)
    model = tiny_model(spread=0.4)
    ids = model.tokenizer.batch(CAPTIONS, LIMIT)
    features = model.encode_video(random_frames(6, 2))
    candidates = np.random.default_rng(0).permuted(np.tile(np.arange(6), (len(CAPTIONS), 1)), axis=1)[:, :4]
    pairs = [(text, int(video)) for text, row in enumerate(candidates) for video in row]
    expected = match_scores(model, padded(ids, LIMIT), model.video_input(features), pairs, 5).view(-1, 4)
    with FeatureStore(6) as store:
        store.add(features.projected)
        text, place, values = match_probabilities(model, ids, store, np.arange(6), candidates, torch.device("cpu"))
    found = np.full(candidates.shape, np.nan)
    found[text, place] = values
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
