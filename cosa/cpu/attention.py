"""Attention with dropout on a CPU, where PyTorch would keep three tensors of the size of the attention weights."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from cosa.cpu.dropout import draw_kept


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Scaled dot-product attention of (rows, heads, queries, dim) to (rows, heads, positions, dim).

    mask: bool, true where a query may look; every query may look somewhere. dropout: of the attention weights.
    """
    if dropout and query.device.type == "cpu" and not torch.compiler.is_compiling():
        result: Tensor = _Attention.apply(query, keys, values, mask, dropout)
        return result
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, dropout_p=dropout)


def _weights(query: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
    """(rows, heads, queries, positions), sums of one; exponentials in float32 at least."""
    scores = (query * query.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
    if mask is not None:
        scores.masked_fill_(~mask, -torch.inf)
    return scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)


class _Attention(torch.autograd.Function):
    """Of the attention weights only which are dropped is kept, a byte each; the weights are computed again."""

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
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        scale = query.shape[-1] ** -0.5
        return of_scores @ (keys * scale), of_scores.transpose(-2, -1) @ (query * scale), of_values, None, None
