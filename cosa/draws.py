"""Everything that objectives draw at random, in one place: for known draws (the golden tests) give another object."""

import torch
from torch import Tensor

from cosa.token_masking import MaskedTexts, mask_tokens


class Draws:
    """Draws from generators (PyTorch's own without them). Concatenation partners are not among them: they come in the batch."""

    def __init__(self, generator: torch.Generator | None = None, host_generator: torch.Generator | None = None):
        """generator: on the device of the model. host_generator: on the CPU; left out: `generator`."""
        self.generator = generator
        self.host_generator = host_generator or generator

    def negatives(self, weights: Tensor) -> Tensor:
        """(rows, candidates) weights to (rows,) chosen candidates."""
        return torch.multinomial(weights, 1, generator=self.generator)[:, 0]

    def tokens(self, probabilities: Tensor) -> Tensor:
        """(rows, vocabulary) probabilities to (rows,) ids of a sampled caption's next token."""
        return torch.multinomial(probabilities, 1, generator=self.generator)[:, 0]

    def masks(self, ids: Tensor, candidates: Tensor, probability: float, *, mask_id: int, vocabulary_size: int) -> MaskedTexts:
        """Masked texts, see `mask_tokens`; everything on the host."""
        masked, labels = mask_tokens(
            ids, candidates, probability, mask_id=mask_id, vocabulary_size=vocabulary_size, generator=self.host_generator
        )
        return MaskedTexts.of(masked, labels)
