"""Losses and gradients of one training step, for all recorded combinations of objectives."""

import pytest

from tests.golden import golden, steps
from tests.golden.golden import Encoder
from tests.golden.language import recorded_arithmetic

pytestmark = pytest.mark.golden
CASES = sorted({case for encoder in golden.ENCODERS for case in golden.record(encoder, "grads")})


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "grads")[case]
    model = golden.fresh_model(encoder)
    videos = list(range(expected["batch"]))
    objectives = steps.objectives_of(expected["task"])
    batch = steps.batch_of(model, objectives, expected["raw_sentences"], videos, expected["samples"])
    if "qa" in objectives:
        batch = steps.with_questions(batch, model, expected["raw_questions"], expected["raw_answers"])
    draws = steps.draws_of(expected, len(videos))
    with recorded_arithmetic():
        losses = steps.step_losses(model, steps.behaviour_of(expected["raw_pixels"]))(batch, draws)
    assert draws.used_up()
    steps.same_losses(losses, expected["losses"])
    total = steps.total_of(losses)
    assert float(total.detach()) == golden.loss(expected["total"])
    total.backward()
    found = {name: parameter.grad for name, parameter in steps.by_published_name(model).items()}
    steps.same_gradients(found, expected["grads"])
