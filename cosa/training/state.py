"""What a training checkpoint holds: the model in native form, and what is needed to go on exactly where it stopped."""

import json
import os
from pathlib import Path
from pickle import UnpicklingError

import torch

from cosa.checkpoints.native import load_checkpoint, save_checkpoint
from cosa.checksums import sha256_of
from cosa.errors import UserError
from cosa.training.loop import Trainer

STATE = "training_state.pt"
CHECKSUMS = "checksums.json"  # written last: a folder that has it is complete


class DamagedStateError(UserError):
    """Files of a checkpoint are missing or not as they were written."""


def save_state(trainer: Trainer, folder: Path) -> None:
    """Write model, optimizer, loss scale and step to a folder. Random states are not needed: they follow from the step."""
    save_checkpoint(trainer.losses.model, folder)
    state = {
        "step": trainer.step,
        "total_steps": trainer.total_steps,
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "skipped_steps": int(trainer.guard.count),
    }
    torch.save(state, folder / STATE)
    sums = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def check_state(folder: Path) -> None:
    """Read a saved state through.

    Raises:
        DamagedStateError: something is missing or differs from what was written.
    """
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        bad = [name for name, expected in sums.items() if sha256_of(folder / name) != expected]
    except (OSError, ValueError, AttributeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise DamagedStateError(f"checkpoint {folder} is not whole ({reason})") from error
    if bad:
        raise DamagedStateError(f"checkpoint {folder} is damaged: {', '.join(bad)} differs from what was written")


def restore_state(trainer: Trainer, folder: Path) -> None:
    """Put a saved state into a trainer that was built in the same way.

    Raises:
        DamagedStateError: files are missing or not as they were written.
        UserError: the state belongs to a run of another length, or was made by another version.
    """
    check_state(folder)
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise DamagedStateError(f"{folder / STATE} cannot be read ({type(error).__name__})") from error
    if not isinstance(state, dict) or not {"step", "total_steps", "optimizer", "scaler", "skipped_steps"} <= set(state):
        raise UserError(f"{folder / STATE} is no training state of this version; start again by --force")
    if state["total_steps"] != trainer.total_steps:
        raise UserError(f"{folder} was saved in a run of {state['total_steps']} steps, not {trainer.total_steps}")
    saved = load_checkpoint(folder)
    trainer.losses.model.load_state_dict(saved.state_dict())
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.guard.count.fill_(state["skipped_steps"])
    trainer.step = state["step"]
