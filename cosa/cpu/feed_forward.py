"""The feed-forward branch of both encoders on a CPU: the backward pass recomputes the widest activation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cosa.cpu.linear import gradients, product
from cosa.private_torch import private


def feed_forward_with_gradients(x: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """`cosa.ops.feed_forward` for what `takes_onednn` says yes to, with gradients."""
    result: Tensor = _FeedForward.apply(x, first.weight, first.bias, second.weight, second.bias)
    return result


def _gradient_of_gelu(gradient: Tensor, x: Tensor) -> Tensor:
    """Of the input `x`, from that of the output, which it may overwrite."""
    backward = private("ops.aten.gelu_backward.grad_input")
    if backward is None:
        [found] = torch.func.vjp(F.gelu, x)[1](gradient)
    else:
        found = backward(gradient, x, grad_input=gradient)
    made: Tensor = found
    return made


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
        assert of_active is not None
        of_wide = _gradient_of_gelu(of_active, wide)
        return (*gradients(of_wide, x, weight1, ctx.needs_input_grad[:3]), of_weight2, of_bias2)
