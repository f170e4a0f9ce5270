"""What a training checkpoint holds: the model in native form, and what is needed to go on exactly where it stopped."""

from pathlib import Path
from pickle import UnpicklingError

import torch

from cosa.checkpoints.native import load_checkpoint, save_checkpoint
from cosa.errors import UserError
from cosa.training.loop import Trainer

STATE = "training_state.pt"


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


def restore_state(trainer: Trainer, folder: Path) -> None:
    """Put a saved state into a trainer that was built in the same way.

    Raises:
        UserError: the state is damaged or belongs to a run of another length.
    """
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise UserError(
            f"{folder / STATE} is missing or damaged ({type(error).__name__}); remove {folder} to go on from an earlier one"
        ) from error
    if not isinstance(state, dict) or not {"step", "total_steps", "optimizer", "scaler", "skipped_steps"} <= set(state):
        raise UserError(f"{folder / STATE} is no training state; remove {folder} to go on from an earlier one")
    if state["total_steps"] != trainer.total_steps:
        raise UserError(f"{folder} was saved in a run of {state['total_steps']} steps, not {trainer.total_steps}")
    saved = load_checkpoint(folder)
    trainer.losses.model.load_state_dict(saved.state_dict())
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.guard.count.fill_(state["skipped_steps"])
    trainer.step = state["step"]
