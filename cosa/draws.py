"""Everything that objectives draw at random, in one place: for known draws (the golden tests) give another object."""

import torch
from torch import Tensor

from cosa.masking import mask_tokens


class Draws:
    """Draws from a generator (PyTorch's own without one). Concatenation partners are not among them: they come in the batch."""

    def __init__(self, generator: torch.Generator | None = None):
        self.generator = generator

    def negatives(self, weights: Tensor) -> Tensor:
        """(rows, candidates) weights to (rows,) chosen candidates."""
        return torch.multinomial(weights, 1, generator=self.generator)[:, 0]

    def tokens(self, probabilities: Tensor) -> Tensor:
        """(rows, vocabulary) probabilities to (rows,) ids of a sampled caption's next token."""
        return torch.multinomial(probabilities, 1, generator=self.generator)[:, 0]

    def masks(
        self, ids: Tensor, candidates: Tensor, probability: float, *, mask_id: int, vocabulary_size: int
    ) -> tuple[Tensor, Tensor]:
        """Masked ids and labels, see `mask_tokens`."""
        return mask_tokens(
            ids, candidates, probability, mask_id=mask_id, vocabulary_size=vocabulary_size, generator=self.generator
        )
