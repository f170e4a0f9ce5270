"""Comparison of language-head logits with what is recorded of them."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cosa.masking import IGNORED
from cosa.model import COSA
from cosa.objectives.masked_language import language_loss
from tests.golden import golden


@torch.no_grad()
def same_logits(model: COSA, hidden: Tensor, expected: dict[str, Any]) -> None:
    """hidden: (rows, length, hidden) of all positions."""
    logits = model.multimodal.language_logits(hidden)
    rows, places = expected["positions"].T
    chosen = logits[rows, places]  # (masked, vocabulary)
    golden.close(chosen.gather(1, expected["labels"][:, None])[:, 0], expected["label_logit"])
    golden.close(chosen.logsumexp(1), expected["logsumexp"])
    golden.close(chosen.max(1).values, expected["max"])
    assert torch.equal(chosen.argmax(1), expected["argmax"])
    golden.close(chosen[:, expected["vocab_columns"]], expected["logits_at_columns"])
    golden.close(logits.logsumexp(2), expected["all_positions_logsumexp"])
    assert torch.equal(logits.argmax(2), expected["all_positions_argmax"])


RECORDED_LANES = 16  # float32 sums in one register of the machine that recorded (AVX-512)


@torch.no_grad()
def same_loss(model: COSA, hidden: Tensor, labels: Tensor, expected: float) -> None:
    """The mean over masked positions, summed up as PyTorch's kernel did on the recording machine.

    A float32 sum over 30,522 small exponentials loses some 1e-5, more or less by the number of lanes that a register has
    (a loss of 0.09 is recorded 6e-5 lower than float64 gives it, and comes out 1.2e-4 lower with AVX2). The tolerance is
    held by adding in the recorded order; our own loss then has to equal PyTorch's on the same logits.
    """
    masked = labels != IGNORED
    logits, targets = model.multimodal.language_logits(hidden[masked]), labels[masked]
    largest = logits.max(1, keepdim=True).values
    terms = F.pad((logits - largest).exp(), (0, -logits.shape[1] % RECORDED_LANES)).unflatten(1, (-1, RECORDED_LANES))
    lanes = terms[:, 0].clone()
    for chunk in range(1, terms.shape[1]):
        lanes += terms[:, chunk]
    losses = largest[:, 0] + lanes.sum(1).log() - logits.gather(1, targets[:, None])[:, 0]
    assert float(losses.mean()) == golden.loss(expected)
    exact = F.cross_entropy(logits.double(), targets)
    assert float(language_loss(model, hidden, labels)) == pytest.approx(float(exact), rel=golden.LOSS["rel"], abs=2e-5)
