"""What a training checkpoint holds: the model in native form, and what is needed to resume exactly where training stopped."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from cosa.checkpoints.native import load_checkpoint, save_checkpoint
from cosa.checksums import DamagedFolderError, check_checksums, write_checksums
from cosa.errors import UserError
from cosa.training.loop import Trainer
from cosa.training.sharding import full, full_weights, load_full, sharded_like

STATE = "training_state.pt"
PARTS = {"step", "total_steps", "trained_weights", "optimizer", "scaler", "skipped_steps"}


def save_state(trainer: Trainer, folder: Path | None, also: Mapping[str, bytes] | None = None) -> None:
    """Write model, optimizer, loss scale and step to a folder. Random states are not needed: they follow from the step.

    The model has the weights that are selected by validation; if these are an EMA, the trained ones are in the training state.
    All is written as one worker without sharding would have it, so that a run can resume with other workers.

    folder: given on one worker; the others, where weights are sharded, bring their parts and write nothing. also: contents of
    further files by their names, which get checksums, too.
    """
    model, writes = trainer.losses.model, folder is not None
    with trainer.with_saved_weights():
        weights = _on_host(full_weights(model, model.state_dict()), writes)
        if folder is not None:
            save_checkpoint(model, folder, weights)
        del weights
    trained = None if trainer.ema is None else _on_host(full_weights(model, trainer.ema.trained()), writes)
    optimizer = trainer.optimizer.state_dict()
    names = {parameter: name for name, parameter in model.named_parameters()}
    order = [names[parameter] for group in trainer.optimizer.param_groups for parameter in group["params"]]
    states = {
        index: _on_host(_full_state(values, scalar=order[index] in model.sharded_scalars), writes)
        for index, values in optimizer["state"].items()
    }
    if folder is None:
        return
    state = {
        "step": trainer.step,
        "total_steps": trainer.total_steps,
        "trained_weights": trained,
        "optimizer": {**optimizer, "state": states},
        "scaler": trainer.scaler.state_dict(),
        "skipped_steps": int(trainer.guard.count),
    }
    _save(state, folder / STATE)
    for name, content in (also or {}).items():
        (folder / name).write_bytes(content)
    write_checksums(folder)  # It comes last: a folder that has them is complete.


def _save(state: dict[str, Any], path: Path) -> None:
    """torch.save, which hides what the disk says behind an error of its own."""
    with path.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def _full_state(values: Mapping[str, Any], *, scalar: bool) -> Iterator[tuple[str, Any]]:
    """The optimizer's state of one parameter, by name, sharded tensors put together."""
    for name, value in values.items():
        yield name, full(value.detach(), scalar=scalar) if isinstance(value, Tensor) else value


def _on_host(values: Iterable[tuple[str, Any]], writes: bool) -> dict[str, Any]:
    """Tensors on the CPU, and what else there is; a worker that writes nothing only takes part in putting them together."""
    found = {}
    for name, value in values:
        if writes:
            found[name] = value.to("cpu") if isinstance(value, Tensor) else value
    return found


def restore_state(trainer: Trainer, folder: Path) -> None:
    """Put a saved state into a trainer that was built in the same way.

    Raises:
        DamagedFolderError: files are missing or not as they were written.
        UserError: the state belongs to a run of another length, or was made by another version.
    """
    check_checksums(folder)
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise DamagedFolderError(f"{folder / STATE} cannot be read ({type(error).__name__})") from error
    if not isinstance(state, dict) or not set(state) >= PARTS:
        raise UserError(f"{folder / STATE} is no training state of this version; start again by --force")
    if state["total_steps"] != trainer.total_steps:
        raise UserError(f"{folder} was saved in a run of {state['total_steps']} steps, not {trainer.total_steps}")
    if (state["trained_weights"] is None) != (trainer.ema is None):
        how = "with" if trainer.ema is None else "without"
        raise UserError(f"{folder} was saved {how} ema_decay; start again by --force")
    load_full(trainer.losses.model, load_checkpoint(folder).state_dict())
    if trainer.ema is not None:
        trainer.ema.restore(state["trained_weights"])
    _load_optimizer(trainer.optimizer, state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.guard.count.fill_(state["skipped_steps"])
    trainer.step = state["step"]


def _load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """A saved state of full tensors into an optimizer of parameters that may be sharded."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = {
        index: {
            name: sharded_like(value, parameters[index]) if isinstance(value, Tensor) and name != "step" else value
            for name, value in values.items()
        }
        for index, values in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": states})
