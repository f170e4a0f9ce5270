"""What happens when a loss or a gradient is not finite: the weights never see it, and the step and its samples are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cosa.distributed import gather_objects
from cosa.errors import UserError

SAMPLES_NAMED = 8


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
        self.first = torch.full((), -1, device=device)  # the first such step since the last check, counted from 0

    def judge(self, losses: Sequence[Tensor], norm: Tensor, step: int, *, scaled: bool) -> Tensor:
        """1.0 if the update must be left out, else 0.0.

        Args:
            losses: this worker's scalars.
            norm: of all gradients.
            step: from 0.
            scaled: the loss was scaled up for float16: gradients then overflow now and then, which is no fault.
        """
        leave_out = ~norm.isfinite()
        bad = ~torch.stack([loss.detach() for loss in losses]).isfinite().all()
        if not scaled:
            bad = bad | leave_out
        self.first = torch.where(bad & (self.first < 0), step, self.first)
        self.count = self.count + bad
        return leave_out.float()

    def check(self, names: Sequence[str], samples_of: Callable[[int], tuple[str, Sequence[str]]], rate: float) -> int:
        """Steps that were left out so far; all workers call it together, after one of them counted some.

        Args:
            names: losses of this worker that were not finite since the last check.
            samples_of: corpus and media of a step on this worker.
            rate: the learning rate, for the message.

        Raises:
            NonFiniteLossError: there were more than are allowed.
        """
        mine = int(self.first)
        found = gather_objects((int(self.count), mine, sorted(names)))
        count = max(count for count, *_ in found)
        if count <= self.allowed:
            self.first = torch.full_like(self.first, -1)
            return count
        reported = gather_objects(samples_of(mine) if mine >= 0 else ("", ()))
        first = min((step for _, step, _ in found if step >= 0), default=-1)
        at_first = [(bad, *of) for (_, step, bad), of in zip(found, reported, strict=True) if step == first >= 0]
        guilty = [f for f in at_first if f[0]] or at_first  # gradients of one worker's loss reach all
        where = "before this run resumed"
        if guilty:
            media = [media_id for _, _, ids in guilty for media_id in ids]
            more = ", ..." if len(media) > SAMPLES_NAMED else ""
            where = f"in step {first + 1} (corpus {guilty[0][1]}, samples {', '.join(media[:SAMPLES_NAMED])}{more})"
        bad = ", ".join(sorted({name for f in guilty for name in f[0]})) or "the gradients"
        raise NonFiniteLossError(
            f"{bad} became non-finite {where}; such updates are left out: {count} now, and max_skipped_steps allows "
            f"{self.allowed}. Lower learning_rate ({rate:.2g} there), use bfloat16 instead of float16, or allow more"
        )
