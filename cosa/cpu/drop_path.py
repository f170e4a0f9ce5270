"""Stochastic depth on a CPU: a branch that is dropped for an image is not computed for it, instead of multiplied by zero."""

from collections.abc import Callable

import torch
from torch import Tensor


def add_drawn_branch(x: Tensor, branch: Callable[[Tensor], Tensor], rate: float) -> Tensor:
    """`cosa.ops.add_branch` on a CPU while training, with a rate above 0.

    If no image keeps its branch, one is computed and counts nothing: the branch's weights then have a gradient of zero, as all
    workers expect.
    """
    kept = (torch.rand(x.shape[0]) >= rate).nonzero()[:, 0]
    scale = 1.0 / (1.0 - rate) if len(kept) else 0.0
    if len(kept) == x.shape[0]:
        return x + branch(x) * scale
    if not len(kept):
        kept = torch.zeros(1, dtype=torch.long)
    return x.index_add(0, kept, branch(x.index_select(0, kept)).to(x.dtype), alpha=scale)
