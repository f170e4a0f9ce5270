"""Learned positions brought to another number of frames or another image size, as the published code does it."""

from collections.abc import Mapping
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor

FRAMES, GRID, TABLE = "frame_embedding", "pos_embed", "relative_position_bias_table"
MOST_BEFORE_GRIDS = 16  # a class token and registers; timm's encoders have up to 10


def fit_positions(target: Mapping[str, Tensor], weights: dict[str, Tensor]) -> list[str]:
    """Interpolate in `weights` what the model has another number of; says what, a line each.

    Frame embeddings take the nearest learned one, the grid of a vision transformer goes bilinearly. A Swin has no absolute
    positions; its tables change only where a stage is smaller than its window (images below the trained size).

    Args:
        target: state of the model or of its image encoder.
        weights: by the same names, changed in place; those of another width are left alone.
    """
    adapted = []
    for name in weights.keys() & target.keys():
        value, shape = weights[name], target[name].shape
        if value.shape == shape or value.dim() != len(shape) or value.shape[-1] != shape[-1]:
            continue
        if name == FRAMES:
            weights[name] = nearest_frames(value, shape[0])
        elif name.endswith(GRID) and positions_before_grids(value.shape[1], shape[1]) is not None:
            weights[name] = resize_position_grid(value, shape[1])
        elif name.endswith(TABLE):
            weights[name] = resize_bias_table(value, shape[0])
        else:
            continue
        adapted.append(f"interpolated {name}: {tuple(value.shape)} -> {tuple(shape)}")
    return sorted(adapted)


def nearest_frames(learned: Tensor, frames: int) -> Tensor:
    """(n, dim) to (frames, dim): frame i takes entry floor(i * n / frames)."""
    return learned[torch.arange(frames, device=learned.device) * learned.shape[0] // frames]


def positions_before_grids(*counts: int) -> int | None:
    """How many positions stand before each of several square grids: 1 of a class token, 0 without; more with registers.

    counts: positions of each, those before the grid included. None if they are no such grids with as many positions before.
    """
    for before in range(min(*counts, MOST_BEFORE_GRIDS + 1)):
        if all(isqrt(count - before) ** 2 == count - before for count in counts):
            return before
    return None


def resize_position_grid(positions: Tensor, count: int) -> Tensor:
    """(1, p + n*n, dim) to (1, count, dim), count = p + m*m: the first p stay as they are, the grid goes bilinearly to m x m.

    Raises:
        ValueError: the numbers are others.
    """
    before = positions_before_grids(positions.shape[1], count)
    if before is None:
        raise ValueError(f"{positions.shape[1]} and {count} positions are no square grids with as many positions before them")
    old, new = isqrt(positions.shape[1] - before), isqrt(count - before)
    grid = positions[:, before:].transpose(1, 2).unflatten(2, (old, old))
    grid = F.interpolate(grid.float(), size=(new, new), mode="bilinear", align_corners=False)
    return torch.cat([positions[:, :before], grid.flatten(2).transpose(1, 2).to(positions.dtype)], dim=1)


def resize_bias_table(table: Tensor, count: int) -> Tensor:
    """((2w-1)^2, heads) to (count, heads), count = (2v-1)^2: offsets of a smaller window are the middle of the larger one's.

    A larger window than the trained one is reached bilinearly, end to end.
    """
    old, new = round(table.shape[0] ** 0.5), round(count**0.5)
    grid = table.T.unflatten(1, (old, old))  # (heads, 2w-1, 2w-1)
    if new <= old:
        edge = (old - new) // 2
        grid = grid[:, edge : edge + new, edge : edge + new]
    else:
        grid = F.interpolate(grid[None].float(), size=(new, new), mode="bilinear", align_corners=True)[0].to(table.dtype)
    return grid.flatten(1).T.contiguous()
