"""AdamW as the published code has it, from old releases of transformers; chosen by `Behaviour.uncorrected_decay`."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from cosa.private_torch import private

_ON_MANY_TENSORS = ("_foreach_mul_", "_foreach_add_", "_foreach_addcmul_", "_foreach_sqrt", "_foreach_addcdiv_")


class PublishedAdamW(torch.optim.Optimizer):
    """Epsilon joins sqrt(v) before bias correction; weights decay after the step, by the uncorrected learning rate.

    With gradient g and step t from 1: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
    p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps), then p -= lr wd p. Parameters without a gradient stay as they are.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float], eps: float):
        super().__init__(groups, {"lr": 0.0, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all groups."""
        loss = closure() if closure is not None else None
        leave_out = getattr(self, "found_inf", None)  # as PyTorch informs its own optimizers; here it waits for the device
        if leave_out is not None and bool(leave_out):
            return loss
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._update(group, parameters)
        return loss

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        rate, (first, second) = float(group["lr"]), group["betas"]
        gradients = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
        means, squares, steps = self._moments(parameters)
        sizes = [-rate * (1.0 - second**step) ** 0.5 / (1.0 - first**step) for step in steps]
        if any(private(name) is None for name in _ON_MANY_TENSORS):
            for parameter, gradient, mean, square, size in zip(parameters, gradients, means, squares, sizes, strict=True):
                mean.mul_(first).add_(gradient, alpha=1.0 - first)
                square.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
                parameter.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=size)
                parameter.mul_(1.0 - rate * group["weight_decay"])
            return
        torch._foreach_mul_(means, first)
        torch._foreach_add_(means, gradients, alpha=1.0 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1.0 - second)
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_add_(denominators, group["eps"])
        torch._foreach_addcdiv_(parameters, means, denominators, sizes)
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1.0 - rate * group["weight_decay"])

    def _moments(self, parameters: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[int]]:
        """Running means of gradients and of their squares, and the number of the step, by parameter."""
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["step"] += 1
        states = [self.state[parameter] for parameter in parameters]
        return [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states], [s["step"] for s in states]
