"""Caption metrics against implementations of our own, on 450 generated clips with one to six references."""

from functools import cache

import numpy as np
import pytest

from cosa.datasets.demo_captions import clip_captions
from cosa.datasets.demo_options import DemoOptions
from cosa.datasets.demo_scenes import Split, plan_demo
from cosa.evaluation.caption_metrics import CaptionScores, score_tokenized, started_scorers
from cosa.evaluation.caption_scorers.scorer import TokenizedCaptions
from tests.cosa.evaluation.oracles import bleu, ciders, rouge_l

CLIPS = 450
METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider")


@cache
def captions() -> tuple[TokenizedCaptions, TokenizedCaptions]:
    """Predictions with words missing, doubled, exchanged or all wrong; some references are shared by many clips."""
    generator = np.random.default_rng(15)
    plan = plan_demo(DemoOptions(train_clips=CLIPS))
    references: TokenizedCaptions = {}
    for index, scenes in enumerate(plan.clips[Split.TRAIN]):
        texts = clip_captions(scenes, generator) + clip_captions(scenes, generator)
        references[f"v{index}"] = texts[: int(generator.integers(1, 7))]
    names = list(references)
    predictions: TokenizedCaptions = {}
    for name in names:
        words = str(generator.choice(references[name if generator.random() < 0.8 else str(generator.choice(names))])).split()
        kept = words
        if generator.random() < 0.7:
            kept = [word for word in words for _ in range(int(generator.choice(3, p=[0.1, 0.8, 0.1])))] or words
        if generator.random() < 0.3:
            generator.shuffle(kept)
        predictions[name] = [" ".join(kept)]
    return predictions, references


@cache
def found() -> CaptionScores:
    with started_scorers(METRICS) as scorers:
        return score_tokenized(*captions(), METRICS, scorers)


def words_of() -> tuple[list[list[str]], list[list[list[str]]]]:
    predictions, references = captions()
    return [text.split() for [text] in predictions.values()], [[text.split() for text in own] for own in references.values()]


def test_the_captions_are_many_with_several_references() -> None:
    predictions, references = captions()
    assert len(predictions) == CLIPS
    assert sum(len(own) > 1 for own in references.values()) > 300
    assert 0.1 < np.mean([predictions[name][0] in own for name, own in references.items()]) < 0.9


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu(order: int) -> None:
    assert found().metrics[f"bleu{order}"] == pytest.approx(100 * bleu(*words_of(), order), rel=1e-9)


def test_rouge_l_of_every_clip() -> None:
    expected = [100 * rouge_l(*pair) for pair in zip(*words_of(), strict=True)]
    assert found().clips["rouge_l"] == pytest.approx(expected, rel=1e-9)
    assert found().metrics["rouge_l"] == pytest.approx(np.mean(expected), rel=1e-9)


def test_cider_of_every_clip() -> None:
    expected = [100 * value for value in ciders(*words_of())]
    assert found().clips["cider"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert found().metrics["cider"] == pytest.approx(np.mean(expected), rel=1e-9)
