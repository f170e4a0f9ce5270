"""The feed-forward branch of both encoders."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cosa.cpu.linear import gradients, product, takes_onednn


def feed_forward(x: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """second(gelu(first(x))), (..., dim) to (..., dim).

    On a CPU the widest activation is computed again in the backward pass instead of kept.
    """
    if torch.is_grad_enabled() and takes_onednn(x, first.weight):
        result: Tensor = _FeedForward.apply(x, first.weight, first.bias, second.weight, second.bias)
        return result
    return second(F.gelu(first(x)))


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight1: Tensor, bias1: Tensor | None, weight2: Tensor, bias2: Tensor | None) -> Tensor:
        wide = product(x, weight1, bias1)
        ctx.save_for_backward(x, wide, weight1, weight2)
        return product(F.gelu(wide), weight2, bias2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, wide, weight1, weight2 = ctx.saved_tensors
        of_active, of_weight2, of_bias2 = gradients(gradient, F.gelu(wide), weight2, (True, *ctx.needs_input_grad[3:]))
        of_wide = torch.ops.aten.gelu_backward.grad_input(of_active, wide, grad_input=of_active)  # in its place
        return (*gradients(of_wide, x, weight1, ctx.needs_input_grad[:3]), of_weight2, of_bias2)
