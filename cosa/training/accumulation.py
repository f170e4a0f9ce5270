"""Gradient accumulation: a worker's share of a batch in smaller parts, whose weighted losses sum to those of the full share.

A mean over masked tokens is the mean of the parts' means, weighted by their tokens. Masks are drawn for the full share, as they
are in a step that does not divide it. Dropout and DropPath are drawn part by part.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from cosa.data.batches import Batch
from cosa.draws import Draws
from cosa.errors import UserError
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.token_masking import MaskedTexts
from cosa.training.losses import StepLosses


class KnownMasks(Draws):
    """Gives masks that were drawn before, in the order in which objectives ask for them."""

    def __init__(self, masks: Iterable[MaskedTexts]):
        super().__init__()
        self._masks = iter(masks)

    def masks(self, ids: Tensor, candidates: Tensor, probability: float, *, mask_id: int, vocabulary_size: int) -> MaskedTexts:  # noqa: ARG002
        """The next masks; they must be of texts of this shape (rows, length)."""
        known = next(self._masks)
        if known.ids.shape != ids.shape:
            raise ValueError(f"masks of texts of shape {tuple(known.ids.shape)} were asked for {tuple(ids.shape)}")
        return known


@dataclass(frozen=True)
class Part:
    """What runs at once.

    draws: its random draws. share: of the samples of the full batch. shares: what its losses count in those of the full batch,
    by name.
    """

    batch: Batch
    draws: Draws
    share: float
    shares: dict[str, float]

    def weighted(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of this part, and means over its samples that are recorded beside them, as parts of the sum."""
        if self.share == 1.0:
            return values
        return {name: value * self.shares.get(name, self.share) for name, value in values.items()}


def check_divisible(corpus: str, objectives: Sequence[str], rows: int, parts: int) -> None:
    """Raise UserError if a worker's rows of a corpus cannot run in parts."""
    divisible = {name for name, objective in OBJECTIVES.items() if objective.divisible}
    if parts > 1 and (undivided := sorted(set(objectives) - divisible)):
        raise UserError(f"{corpus}: {', '.join(undivided)} cannot run in {parts} parts, only {', '.join(sorted(divisible))}")
    if rows % parts:
        raise UserError(f"{corpus}: {rows} samples of a worker cannot be split into {parts} parts")


def parts_of(losses: StepLosses, batch: Batch, draws: Draws, parts: int) -> Iterator[Part]:
    """Divide a batch that `check_divisible` lets pass into equally many samples each."""
    if parts == 1:
        yield Part(batch, draws, 1.0, {})
        return
    masks = losses.draw_masks(batch, draws)
    rows = len(batch.media_ids) // parts
    for start in range(0, parts * rows, rows):
        own = {name: masked.rows(start, start + rows) for name, masked in masks.items()}
        shares = {f"{name}_loss": len(part.targets) / len(masks[name].targets) for name, part in own.items()}
        yield Part(batch.rows(start, start + rows), KnownMasks(own.values()), 1 / parts, shares)
