"""Options that change memory or speed: training goes as without them, to a stated tolerance."""

from __future__ import annotations

import pytest
import torch

from tests.cosa.training.small import assert_same_training, records_of, small_trainer, weights_of
from tests.support import FAMILIES, Family

ALL = ("itc", "itm", "citc", "citm", "cmlm", "ccap")


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_is_exact_to_rounding(family: Family) -> None:
    """With dropout, whose draws are repeated in the second computation."""
    trainers = [
        small_trainer(ALL, ("itc", "mlm"), family=family, dropout=0.1, steps=2, checkpointing=on) for on in (False, True)
    ]
    plain, saving = ((records_of(trainer), weights_of(trainer)) for trainer in trainers)
    assert_same_training(saving, plain, losses=1e-5, weights=2e-5)


@pytest.mark.parametrize("objectives", [ALL, ("mlm", "cap"), ("qa",)])
def test_bfloat16_is_within_a_hundredth(objectives: tuple[str, ...]) -> None:
    """Of every loss, over steps that learn; negatives of matching are drawn by similarities, so some may be others."""
    plain, coarse = (records_of(small_trainer(objectives, precision=precision)) for precision in ("float32", "bfloat16"))
    for step, record in plain.items():
        losses = {name: value for name, value in record.items() if name.endswith("loss")}
        assert {name: coarse[step][name] for name in losses} == pytest.approx(losses, rel=1e-2)
        assert coarse[step] != record


def test_compiled_training_is_exact_to_rounding() -> None:
    """The graphs of torch.compile, run as they are: inductor takes minutes on a CPU. test_compile.py has all losses."""
    torch._dynamo.reset()
    trainers = [small_trainer(("qa",), steps=3) for _ in range(2)]
    trainers[1].losses.model.compile_encoders(backend="aot_eager", fullgraph=True)
    plain, compiled = ((records_of(trainer), weights_of(trainer)) for trainer in trainers)
    assert_same_training(compiled, plain, losses=1e-5, weights=2e-5)
