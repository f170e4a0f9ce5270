"""Trains the parts of a model that a stage's objectives reach. The others are frozen, or the stage is a mistake."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cosa.errors import UserError
from cosa.model import COSA
from cosa.model_parts import ModelPart
from cosa.objectives.all_objectives import parts_reached


def freeze_unused(model: COSA, objectives: Iterable[str]) -> list[str]:
    """Turn off gradients of the parts that none of the objectives reaches; gives the names of their parameters.

    DDP then needs no search for unused parameters, and weight decay does not shrink heads that another stage trained.

    Raises:
        UserError: a parameter belongs to no part, a part that is not reached may not be frozen, or the model lacks a part
            that an objective reaches.
    """
    objectives = sorted(set(objectives))
    reached = parts_reached(objectives)
    for part in reached - set(model.parts):
        raise UserError(
            f"{', '.join(objectives)}: the model lacks the {part.name}; build it with all heads of its objectives (heads_of in "
            "cosa/objectives/all_objectives.py)"
        )
    frozen = []
    for name, parameter in model.named_parameters():
        part = part_of(name, model.parts)
        if part in reached:
            continue
        if not part.may_be_frozen:
            raise UserError(
                f"{', '.join(objectives)}: nothing trains the {part.name} ({name}), and it may not be frozen; name it in "
                "`reaches` of the objective that trains it, or declare that the part may be frozen"
            )
        parameter.requires_grad_(False)
        frozen.append(name)
    return frozen


def check_reached(model: COSA, objectives: Iterable[str]) -> None:
    """After a backward pass: check that every part that these objectives declare has got a gradient.

    A part that its loss forgot would stay as it is, for instance a head at its random weights.

    Raises:
        UserError: one has none.
    """
    objectives = list(objectives)
    parts = [(part_of(name, model.parts), parameter) for name, parameter in model.named_parameters()]
    trainable = {part for part, parameter in parts if parameter.requires_grad}
    with_gradient = {part for part, parameter in parts if parameter.grad is not None}
    for part in sorted(parts_reached(objectives) & trainable - with_gradient, key=lambda part: part.name):
        raise UserError(
            f"{', '.join(objectives)}: no gradient reaches the {part.name}, though `reaches` or `head` of one declares "
            "it; use it in the loss, or leave it out"
        )


@contextmanager
def no_use_of_frozen(model: COSA, objectives: Iterable[str]) -> Iterator[None]:
    """While a step of these objectives runs: check that no loss depends on modules that nothing declares.

    They are frozen: an objective that forgets a part in `reaches` would train without it, and nobody would notice. Values stay
    as they are; for this one step, gradients also flow to outputs of frozen modules.

    Raises:
        UserError: a loss does, on leaving the context.
    """
    used: set[str] = set()

    def watching(part: ModelPart) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        def hook(_: nn.Module, __: Any, output: Any) -> Tensor | None:
            if not (torch.is_grad_enabled() and isinstance(output, Tensor) and output.is_floating_point()):
                return None
            if not output.requires_grad:
                output = output.detach().requires_grad_().clone()  # a copy, since no leaf may be changed in place later
            output.register_hook(lambda _: used.add(part.name))
            return output

        return hook

    frozen = {name.rpartition(".")[0]: name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    hooks = [
        model.get_submodule(module).register_forward_hook(watching(part_of(name, model.parts)))
        for module, name in frozen.items()
        if module
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if used:
        raise UserError(
            f"{', '.join(objectives)}: a loss depends on the {' and the '.join(sorted(used))}, which no objective declares, so "
            "that it is frozen; name it in `reaches`, or compute what you need of it under torch.no_grad()"
        )


def part_of(parameter: str, parts: Sequence[ModelPart]) -> ModelPart:
    """The part of a model that a parameter is of.

    Raises:
        UserError: it is of none.
    """
    for part in parts:
        if part.holds(parameter):
            return part
    raise UserError(
        f"{parameter} belongs to no part of the model, so nobody knows whether to train it; declare a part with it in "
        "cosa/model_parts.py, and name the part in `reaches` of the objectives that train it"
    )


def differ_in_reach(objective_sets: Iterable[Iterable[str]]) -> bool:
    """Whether steps of one training run reach different parameters, so that DDP has to look for unused ones."""
    return len({parts_reached(objectives) for objectives in objective_sets}) > 1
