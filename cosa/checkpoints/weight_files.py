"""Weights from files of others: safetensors, or torch files of tensors alone. Nothing in them is executed."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cosa.checkpoints.published_names import without_wrappers
from cosa.errors import UserError

_WRAPPERS = ("model", "state_dict", "model_state_dict", "module")  # where trainers put the state dict in their file


def read_weights(path: Path) -> dict[str, Tensor]:
    """The flat state dict of a file, `module.` left out of its keys, on the CPU.

    Raises:
        UserError: there is no such file, it holds more than tensors, it is damaged, or two keys become the same.
    """
    if not path.is_file():
        raise UserError(f"{path.resolve()}: no such file; expected a .safetensors file or a torch file of tensors")
    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
        )
    except (UnpicklingError, SafetensorError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path.resolve()} is no file of weights ({type(error).__name__}); expected safetensors, or a torch file of "
            "tensors alone. A TorchScript archive or a file with other Python objects has to be saved again, by its author "
            "or where it is trusted: torch.save(model.state_dict(), FILE)"
        ) from error
    return _flat(content, path)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"  # only torch's newer format can be mapped into memory


def _flat(content: Any, path: Path) -> dict[str, Tensor]:
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{path.resolve()} holds {type(content).__name__}; expected a state dict (names and tensors)")
    weights: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{path.resolve()}: {key!r} is {type(value).__name__}; expected tensors alone")
        name = without_wrappers(str(key))
        if name in weights:
            raise UserError(f"{path.resolve()}: {key!r} stands twice, with and without 'module.'; keep one")
        weights[name] = value
    return weights
