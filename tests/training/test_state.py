from pathlib import Path

import pytest
import torch

from cosa.checkpoints.native import CONFIG, WEIGHTS
from cosa.errors import UserError
from cosa.training.state import STATE, restore_state, save_state
from tests.training.test_loop import make_trainer, train


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    trainer = make_trainer(steps=1)
    train(trainer)
    save_state(trainer, tmp_path / "state")
    return tmp_path / "state"


def test_what_a_state_holds(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == {STATE, WEIGHTS, CONFIG, "vocab.txt"}
    trainer = make_trainer(steps=1)
    restore_state(trainer, saved)
    assert trainer.step == 2
    assert train(trainer) == {}
    moments = trainer.optimizer.state_dict()["state"]
    assert moments
    assert all(float(state["step"]) >= 1 and state["exp_avg_sq"].abs().max() >= 0 for state in moments.values())


@pytest.mark.parametrize("content", [b"", b"not a file of torch", None])
def test_a_damaged_state_is_told(saved: Path, content: bytes | None) -> None:
    whole = (saved / STATE).read_bytes()
    (saved / STATE).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError, match=f"{STATE} is missing or damaged .*remove"):
        restore_state(make_trainer(steps=1), saved)
    (saved / STATE).unlink()
    with pytest.raises(UserError, match="is missing or damaged"):
        restore_state(make_trainer(steps=1), saved)


def test_a_state_of_something_else_is_told(saved: Path) -> None:
    with pytest.raises(UserError, match="was saved in a run of 2 steps, not 4"):
        restore_state(make_trainer(steps=2), saved)
    torch.save({"epoch": 3}, saved / STATE)
    with pytest.raises(UserError, match="is no training state"):
        restore_state(make_trainer(steps=1), saved)
