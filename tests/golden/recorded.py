"""Recorded draws in the place of random ones."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from cosa.draws import Draws
from cosa.token_masking import MaskedTexts


class RecordedDraws(Draws):
    """Gives what was drawn when the golden set was made, in the same order."""

    def __init__(
        self,
        *,
        negatives: Iterable[Sequence[int]] = (),
        masks: Iterable[tuple[Tensor, Tensor]] = (),
        tokens: Tensor | None = None,
    ):
        """negatives: one list a draw; more rows may be recorded than are asked for. tokens: (rows, steps) sampled ids."""
        super().__init__(None)
        self._negatives = list(negatives)
        self._masks = list(masks)
        self._tokens = list(tokens.T) if tokens is not None else []

    def negatives(self, weights: Tensor) -> Tensor:
        chosen = torch.tensor(self._negatives.pop(0)[: len(weights)])
        assert (weights.gather(1, chosen[:, None]) > 0).all(), "a recorded negative has no chance of being drawn"
        return chosen

    def masks(self, ids: Tensor, candidates: Tensor, probability: float, **rest: Any) -> MaskedTexts:
        masked, labels = self._masks.pop(0)
        length = ids.shape[1]
        assert (labels[:, length:] == -100).all(), "a label is recorded where there is no text"
        masked, labels = masked[:, :length], labels[:, :length]
        assert torch.equal(torch.where(labels == -100, masked, labels), ids), "the masks belong to another text"
        assert not ((labels != -100) & ~candidates).any(), "something is masked that may not be"
        return MaskedTexts.of(masked, labels)

    def tokens(self, probabilities: Tensor) -> Tensor:
        return self._tokens.pop(0)

    def used_up(self) -> bool:
        """Whether everything recorded was asked for."""
        return not (self._negatives or self._masks)
