import json
import resource
from pathlib import Path

import pytest
import torch

from cosa.checkpoints.native import CONFIG, WEIGHTS
from cosa.checksums import CHECKSUMS, DamagedFolderError
from cosa.errors import UserError
from cosa.training.state import STATE, restore_state, save_state
from tests.cosa.training.test_loop import make_trainer, train


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    trainer = make_trainer(steps=1)
    train(trainer)
    save_state(trainer, tmp_path / "state")
    return tmp_path / "state"


def test_why_a_state_cannot_be_written_is_reported(saved: Path, tmp_path: Path) -> None:
    """torch.save alone speaks of an unexpected position. Files may be large enough for the weights, not for the state."""
    weights, state = ((saved / name).stat().st_size for name in (WEIGHTS, STATE))
    assert weights < state
    trainer = make_trainer(steps=1)
    restore_state(trainer, saved)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((weights + state) // 2, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_state(trainer, tmp_path / "again")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_a_state_holds(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == {STATE, WEIGHTS, CONFIG, "vocab.txt", CHECKSUMS}
    trainer = make_trainer(steps=1)
    restore_state(trainer, saved)
    assert trainer.step == 2
    assert train(trainer) == {}
    moments = trainer.optimizer.state_dict()["state"]
    assert moments
    assert all(float(state["step"]) >= 1 and state["exp_avg_sq"].abs().max() >= 0 for state in moments.values())


@pytest.mark.parametrize("name", [STATE, WEIGHTS, CONFIG, CHECKSUMS])
@pytest.mark.parametrize("damage", ["empty", "truncated", "one byte", "missing"])
def test_a_damaged_state_is_reported(saved: Path, name: str, damage: str) -> None:
    path = saved / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"empty": b"", "truncated": content[:middle], "one byte": flipped}[damage])
    trainer = make_trainer(steps=1)
    before = {n: v.clone() for n, v in trainer.losses.model.state_dict().items()}
    with pytest.raises(DamagedFolderError, match=r"is incomplete|differs from what was written"):
        restore_state(trainer, saved)
    assert trainer.step == 0
    assert all(torch.equal(value, before[n]) for n, value in trainer.losses.model.state_dict().items())


def test_a_state_of_something_else_is_reported(saved: Path) -> None:
    with pytest.raises(UserError, match="was saved in a run of 2 steps, not 4"):
        restore_state(make_trainer(steps=2), saved)
    torch.save({"epoch": 3}, saved / STATE)
    sums = json.loads((saved / CHECKSUMS).read_text())
    (saved / CHECKSUMS).write_text(json.dumps({name: sum_ for name, sum_ in sums.items() if name != STATE}))
    with pytest.raises(UserError, match="is no training state"):
        restore_state(make_trainer(steps=1), saved)
