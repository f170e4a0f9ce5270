"""Collectives over the training workers that also work in a single process. Everything here is a no-op with one worker."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of workers that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this worker, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _GatherWithGradient(torch.autograd.Function):
    """All-gather along dimension 0; its backward pass gives every worker the sum of all workers' gradients for its part."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rows = local.shape[0]
        return _all_gather(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)  # it may be another function's, too
        dist.all_reduce(gradient)
        start = rank() * ctx.rows
        return gradient[start : start + ctx.rows]


def gather(local: Tensor) -> Tensor:
    """Rows of all workers in worker order: (rows, ...) -> (rows * workers, ...). Every worker must bring equally many rows.

    Gradients flow back through every worker's rows; with DDP's averaging the result is the gradient of the mean loss.
    """
    if world_size() == 1:
        return local
    if local.is_floating_point():
        return _GatherWithGradient.apply(local)
    return _all_gather(local)


def gather_constant(local: Tensor) -> Tensor:
    """`gather` without gradients, with one worker too."""
    return local.detach() if world_size() == 1 else _all_gather(local.detach())


def _all_gather(local: Tensor) -> Tensor:
    local = local.contiguous()
    parts = [torch.empty_like(local) for _ in range(world_size())]
    dist.all_gather(parts, local)
    return torch.cat(parts)


def gather_objects(local: Any) -> list[Any]:
    """One Python object of every worker, in worker order."""
    if world_size() == 1:
        return [local]
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, local)
    return parts


def mean_of_workers(values: dict[str, float]) -> dict[str, float]:
    """Mean over workers of numbers that all workers hold under the same keys."""
    if world_size() == 1:
        return values
    gathered = gather_objects(values)
    return {key: sum(part[key] for part in gathered) / len(gathered) for key in values}
