"""What happens when a loss or a gradient is not finite: the weights never see it, and the step and its samples are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cosa.distributed import gather_objects
from cosa.errors import UserError


class NonFiniteLossError(UserError):
    """Losses or gradients became NaN or infinite more often than is allowed."""


class FiniteGuard:
    """Counts steps that are not finite, on the device: nothing waits for it between two records.

    An update is left out on all workers alike, because the norm of the gradients is that of all workers.
    """

    def __init__(self, allowed: int, device: torch.device):
        """allowed: steps that may be left out."""
        self.allowed = allowed
        self.count = torch.zeros((), device=device)  # on this worker
        self.first = torch.full((), -1, device=device)  # the first such step, counted from 0

    def judge(self, losses: Sequence[Tensor], norm: Tensor, step: int) -> Tensor:
        """1.0 if the update must be left out, else 0.0. losses: this worker's scalars. norm: of all gradients."""
        leave_out = ~norm.isfinite()
        bad = leave_out | ~torch.stack([loss.detach() for loss in losses]).isfinite().all()
        self.first = torch.where(bad & (self.first < 0), step, self.first)
        self.count = self.count + bad
        return leave_out.float()

    def check(self, names: Sequence[str], samples_of: Callable[[int], tuple[str, Sequence[str]]], rate: float) -> int:
        """Steps that were left out so far; all workers call it together, after one of them counted some.

        Args:
            names: losses of this worker that were not finite since the last record.
            samples_of: corpus and media of a step on this worker.
            rate: the learning rate, for the message.

        Raises:
            NonFiniteLossError: there were more than are allowed.
        """
        mine = int(self.first)
        told = samples_of(mine) if mine >= 0 else ("", ())
        found = [f for f in gather_objects((int(self.count), mine, sorted(names), *told)) if f[1] >= 0]
        count = max(count for count, *_ in found)
        if count <= self.allowed:
            return count
        first = min(step for _, step, *_ in found)
        at_first = [f for f in found if f[1] == first]
        guilty = [f for f in at_first if f[2]] or at_first  # gradients of one worker's loss reach all
        bad = ", ".join(sorted({name for f in guilty for name in f[2]})) or "the gradients"
        media = [media_id for f in guilty for media_id in f[4]]
        more = f" and {count - 1} more steps" if count > 1 else ""
        raise NonFiniteLossError(
            f"{bad} became non-finite in step {first + 1}{more} (learning rate {rate:.2g}, corpus {guilty[0][3]}, samples "
            f"{', '.join(media[:8])}{', ...' if len(media) > 8 else ''}); the update was left out. Lower learning_rate, use "
            f"bfloat16 instead of float16, or allow some such steps by max_skipped_steps ({self.allowed} now)"
        )
