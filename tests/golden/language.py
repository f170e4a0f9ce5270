"""Comparison of language-head logits with what is recorded of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cosa.model import COSA
from cosa.objectives import masked_language
from cosa.token_masking import IGNORED, MaskedTexts
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


def recorded_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with the rounding of the recording machine; its gradient is PyTorch's.

    PyTorch adds the exponentials of a row in float32, in as many running sums as a register has lanes, and the sum that holds
    the largest term loses the small ones. Over 30,522 entries that is some 1e-5: a recorded loss of 0.09 is 6e-5 (relative)
    below its value in float64, and comes out 1.2e-4 below with AVX2's eight lanes. To hold a tolerance of 1e-5 on any machine
    one has to add as the recording one did.
    """
    exact = F.cross_entropy(logits, targets)
    with torch.no_grad():
        largest = logits.max(1, keepdim=True).values
        terms = F.pad((logits - largest).exp(), (0, -logits.shape[1] % RECORDED_LANES)).unflatten(1, (-1, RECORDED_LANES))
        lanes = terms[:, 0].clone()
        for chunk in range(1, terms.shape[1]):
            lanes += terms[:, chunk]
        rows = largest[:, 0] + lanes.sum(1).log() - logits.gather(1, targets[:, None])[:, 0]
    return exact + (rows.mean() - exact).detach()


@contextmanager
def recorded_arithmetic() -> Iterator[None]:
    """Language losses are added up as on the recording machine."""
    original = masked_language.F
    masked_language.F = SimpleNamespace(cross_entropy=recorded_cross_entropy)  # type: ignore[assignment]
    try:
        yield
    finally:
        masked_language.F = original


def language_loss(model: COSA, hidden: Tensor, labels: Tensor) -> Tensor:
    """Our loss, from the hidden states (rows, length, hidden) of all positions."""
    texts = MaskedTexts.of(torch.zeros_like(labels), labels)
    return masked_language.language_loss(model, texts)([hidden.take_along_dim(texts.places[..., None], dim=1)])


@torch.no_grad()
def same_loss(model: COSA, hidden: Tensor, labels: Tensor, expected: float) -> None:
    """The mean over masked positions is the recorded one, and ours on this machine is that of float64 but for the sum."""
    with recorded_arithmetic():
        assert float(language_loss(model, hidden, labels)) == golden.loss(expected)
    masked = labels != IGNORED
    exact = F.cross_entropy(model.multimodal.language_logits(hidden[masked]).double(), labels[masked])
    ours = float(language_loss(model, hidden, labels))
    assert ours == pytest.approx(float(exact), rel=golden.LOSS["rel"], abs=2e-5)
