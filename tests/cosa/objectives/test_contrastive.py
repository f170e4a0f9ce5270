import math

import pytest
import torch

from cosa.draws import Draws
from cosa.objectives.contrastive import contrastive_loss
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.objective_settings import ObjectiveSettings
from tests.support import encoded, gradients, tiny_model


@torch.no_grad()
def by_hand(batch: EncodedBatch, smoothing: float) -> float:
    text, video = batch.text_features.tolist(), batch.video_features.tolist()
    temperature, n, total = float(batch.model.temperature), len(text), 0.0
    for left, right in ((text, video), (video, text)):
        for i in range(n):
            scores = [sum(a * b for a, b in zip(left[i], right[j], strict=True)) / temperature for j in range(n)]
            logsum = math.log(sum(math.exp(score) for score in scores))
            for j in range(n):
                weight = (1 - smoothing) * (i == j) + smoothing / n
                total += weight * (logsum - scores[j]) / (2 * n)
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_loops_over_all_pairs(smoothing: float) -> None:
    batch = encoded(tiny_model())
    loss = contrastive_loss(batch, ObjectiveSettings(label_smoothing=smoothing), Draws()).loss(batch.model)
    assert float(loss.detach()) == pytest.approx(by_hand(batch, smoothing), rel=1e-5)


def test_gradient_reaches_both_sides_and_the_temperature() -> None:
    model = tiny_model()
    contrastive_loss(encoded(model), ObjectiveSettings(), Draws()).loss(model).backward()
    found = gradients(model)
    for name in ("temperature", "text_contrastive_head.weight", "video_contrastive_head.weight"):
        assert found[name].abs().max() > 0
    assert any(name.startswith("vision.") and gradient.abs().max() > 0 for name, gradient in found.items())
    assert not any("crossattention" in name or name.startswith(("projection", "matching")) for name in found)


def test_equal_pairs_that_stand_out_have_no_loss() -> None:
    batch = encoded(tiny_model(), 4)
    batch.__dict__["similarities"] = (100 * torch.eye(4), 100 * torch.eye(4))
    assert float(contrastive_loss(batch, ObjectiveSettings(label_smoothing=0), Draws()).loss(batch.model)) == pytest.approx(
        0, abs=1e-6
    )
