"""Attention with dropout on a CPU, where PyTorch would save three tensors of the size of the attention weights."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cosa.cpu.dropout import draw_kept
from cosa.private_torch import private


def attend_with_dropout(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """`cosa.ops.attend` for float tensors on a CPU, with dropout above 0."""
    result: Tensor = _Attention.apply(query, keys, values, mask, dropout)
    return result


def _weights(query: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
    """(rows, heads, queries, positions), sums of one; exponentials in float32 at least."""
    scores = (query * query.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
    if mask is not None:
        scores.masked_fill_(~mask, -torch.inf)
    return scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)


def _gradient_of_scores(of_weights: Tensor, weights: Tensor) -> Tensor:
    """Through the softmax: (rows, heads, queries, positions), as both inputs."""
    backward = private("_softmax_backward_data")
    if backward is None:
        return weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True))
    found: Tensor = backward(of_weights, weights, -1, weights.dtype)
    return found


class _Attention(torch.autograd.Function):
    """Saves only the dropout mask (one byte per weight); the backward pass recomputes the attention weights."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        weights = _weights(query, keys, mask)
        kept = draw_kept(weights.shape, dropout)
        ctx.save_for_backward(query, keys, values, mask, kept)
        ctx.scale = 1 / (1 - dropout)
        return weights.mul_(kept) @ (values * ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, values, mask, kept = ctx.saved_tensors
        weights = _weights(query, keys, mask)
        of_weights = ((gradient * ctx.scale) @ values.transpose(-2, -1)).mul_(kept)
        of_values = (weights * kept).transpose(-2, -1) @ (gradient * ctx.scale)
        of_scores = _gradient_of_scores(of_weights, weights)
        scale = query.shape[-1] ** -0.5
        return of_scores @ (keys * scale), of_scores.transpose(-2, -1) @ (query * scale), of_values, None, None
