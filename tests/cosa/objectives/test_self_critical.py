"""SCST: rewards by hand, and log-probabilities in one pass against stepping through generation."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cosa.behaviour import DEFAULT, PUBLISHED, Behaviour
from cosa.data.batches import Batch, Sample
from cosa.draws import Draws
from cosa.generation import Decoder, sample
from cosa.model import COSA, VideoFeatures
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.preparation import Preparation
from cosa.objectives.self_critical import (
    CiderReward,
    SelfCritical,
    prepare_rewards,
    self_critical_loss,
    sequence_log_probabilities,
)
from tests.support import tiny_model


def videos_of(model: COSA) -> VideoFeatures:
    """Three videos."""
    side = model.config.vision.resolution
    return model.encode_video(torch.randn(3, 2, 3, side, side, generator=torch.Generator().manual_seed(1)))


def test_the_same_caption_scores_highest_and_a_disjoint_one_nothing() -> None:
    reward = CiderReward({"a": [[1, 2, 3, 4, 5]], "b": [[6, 7, 8, 9, 10]], "c": [[11, 12, 13, 14]]})
    same, other, part = reward(["a", "a", "a"], [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [1, 2, 9]])
    assert same == pytest.approx(10.0)
    assert other == 0.0
    assert 0.0 < part < same


def test_a_reward_by_hand() -> None:
    # Two clips; 1-gram 1 is in both (weight 0), 2 in one (weight log 2). Bigrams: 1 of 1 shared; no longer n-grams.
    reward = CiderReward({"a": [[1, 2]], "b": [[1, 3]]})
    (score,) = reward(["a"], [[1, 2, 3]])
    unigram = math.log(2) ** 2 / (math.log(2) * math.sqrt(2 * math.log(2) ** 2))
    bigram = math.log(2) ** 2 / (math.log(2) * math.sqrt(2 * math.log(2) ** 2))
    penalty = math.exp(-(1**2) / (2 * 6.0**2))
    assert score == pytest.approx(10 * penalty * (unigram + bigram) / 4, rel=1e-5)


def test_an_empty_caption_scores_nothing() -> None:
    reward = CiderReward({"a": [[1, 2]], "b": [[3]]})
    assert np.isfinite(reward(["a"], [[]])).all()
    assert reward(["a"], [[]])[0] == 0.0


@pytest.mark.parametrize("behaviour", [DEFAULT, PUBLISHED])
def test_rewards_are_by_all_captions_of_a_clip(behaviour: Behaviour) -> None:
    tokenizer = tiny_model().tokenizer
    samples = [Sample("a", caption="a red ball"), Sample("b", caption="two dogs"), Sample("a", caption="the man sings a song")]
    settings = SimpleNamespace(max_caption_tokens=7, beam_size=2)
    made = prepare_rewards(Preparation(samples, tokenizer, settings, behaviour))
    assert (made.max_tokens, made.beam_size) == (7, 2)
    first, second, other = made.reward(["a"] * 3, [tokenizer.ids(samples[i].caption) for i in (0, 2, 1)])
    assert first > 1.0
    assert second > 1.0
    assert other == 0.0


@pytest.mark.parametrize("family", ["swin", "clip"])
def test_one_pass_gives_the_log_probabilities_of_generation(family: str) -> None:
    model = tiny_model(family).eval()
    with torch.no_grad():
        memory = model.video_memory(videos_of(model))
        texts = [[2100, 2200, 2300], [2150, model.tokenizer.end_id], [2400]]
        ours, present = sequence_log_probabilities(model, memory, texts)
        assert present.sum(1).tolist() == [3, 2, 1]
        for row, text in enumerate(texts):
            decoder = Decoder(model, memory.select(torch.tensor([row])), None, max_tokens=4)
            newest = torch.tensor([model.tokenizer.start_id])
            for place, token in enumerate(text):
                expected = decoder.next_log_probabilities(newest)[0, token]
                assert ours[row, place] == pytest.approx(float(expected), abs=1e-5)
                newest = torch.tensor([token])


def test_the_loss_pushes_towards_the_rewarded_caption() -> None:
    model = tiny_model("swin")
    draws = Draws(torch.Generator().manual_seed(0))
    memory = model.video_memory(videos_of(model))
    drawn = sample(model.eval(), memory, max_tokens=5, draws=Draws(torch.Generator().manual_seed(0)))
    references = {name: [ids] for name, ids in zip("abc", drawn, strict=True)}
    settings = SelfCritical(CiderReward(references), max_tokens=5, beam_size=2)
    rows = torch.arange(3)
    source = Batch("demo", ("scst",), tuple("abc"), torch.empty(0), rows, rows[:, None])
    pending = self_critical_loss(EncodedBatch(model, source.ids, videos_of(model), rows, source=source), settings, draws)
    assert float(pending.recorded["reward"]) > 1.0  # the very captions that were drawn are the references
    pending.loss(model).backward()
    gradient = model.multimodal.cls.predictions.transform.dense.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
