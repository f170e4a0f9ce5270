"""The EMA of the weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosa.checkpoints.native import load_checkpoint
from cosa.errors import UserError
from cosa.training.loop import Trainer
from cosa.training.state import restore_state, save_state
from tests.cosa.training.small import records_of, small_trainer, weights_of
from tests.cosa.training.test_loop import break_losses

DECAY = 0.75
OBJECTIVES = ("itc", "mlm")


def averaged(**changes: object) -> Trainer:
    return small_trainer(OBJECTIVES, ema_decay=DECAY, dropout=0.1, **changes)  # type: ignore[arg-type]


def mean_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    with trainer.with_saved_weights():
        return weights_of(trainer)


def test_the_mean_is_that_of_the_formula() -> None:
    trainer = averaged(max_skipped_steps=1)
    break_losses(trainer, [1])  # the second step is left out, and no part of the mean
    expected = weights_of(trainer)
    for step in range(3):
        trainer.train_step(trainer.batches[step])
        trainer.step += 1
        if step != 1:
            expected = {name: DECAY * expected[name] + (1 - DECAY) * value for name, value in weights_of(trainer).items()}
    trained = weights_of(trainer)
    torch.testing.assert_close(mean_of(trainer), expected, rtol=1e-6, atol=1e-7)
    for name, value in weights_of(trainer).items():
        assert torch.equal(value, trained[name]), name  # they are back
    assert any(not torch.equal(value, trained[name]) for name, value in expected.items())


def test_it_changes_nothing_of_training() -> None:
    plain = small_trainer(OBJECTIVES, dropout=0.1)
    assert records_of(averaged()) == records_of(plain)


def test_weights_come_back_after_an_error() -> None:
    trainer = averaged()
    trainer.train_step(trainer.batches[0])
    trained = weights_of(trainer)
    with pytest.raises(KeyboardInterrupt), trainer.with_saved_weights():
        raise KeyboardInterrupt
    assert all(torch.equal(value, trained[name]) for name, value in weights_of(trainer).items())


def test_a_resumed_run_equals_an_uninterrupted_one_bit_by_bit(tmp_path: Path) -> None:
    """Trained weights, mean and optimizer; the checkpoint's model is the mean."""
    full, interrupted, resumed = averaged(), averaged(), averaged(seed=1)
    expected = records_of(full)
    interrupted.run(lambda *_: None, lambda _: None, lambda _: save_state(interrupted, tmp_path), lambda: interrupted.step >= 2)
    assert interrupted.step == 2
    saved = load_checkpoint(tmp_path).state_dict()
    for name, value in mean_of(interrupted).items():
        assert torch.equal(saved[name], value), name
    restore_state(resumed, tmp_path)
    rest = records_of(resumed)
    assert set(rest) == {3, 4}
    assert rest == {step: expected[step] for step in rest}
    for found, wanted in ((weights_of(resumed), weights_of(full)), (mean_of(resumed), mean_of(full))):
        for name, value in wanted.items():
            assert torch.equal(found[name], value), name


def test_a_state_with_a_mean_belongs_to_a_run_with_one(tmp_path: Path) -> None:
    save_state(averaged(), tmp_path / "with")
    save_state(small_trainer(OBJECTIVES), tmp_path / "without")
    with pytest.raises(UserError, match="was saved with ema_decay; start again by --force"):
        restore_state(small_trainer(OBJECTIVES), tmp_path / "with")
    with pytest.raises(UserError, match="was saved without ema_decay"):
        restore_state(averaged(), tmp_path / "without")
