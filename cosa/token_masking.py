"""Random masking of tokens for masked-language modelling, captioning and question answering (BERT's 80/10/10 rule)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100  # label of positions that carry no loss, as in torch.nn.functional.cross_entropy
FIRST_RANDOM_ID = 106  # random replacements never draw the special and first unused entries (published code)


def mask_tokens(
    ids: Tensor,
    candidates: Tensor,
    probability: float,
    *,
    mask_id: int,
    vocabulary_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Hide some candidate tokens of every row, at least one a row.

    The published code redraws a row until something is masked. The same distribution is drawn here at once: the place of
    the first masked candidate from its truncated geometric distribution, the later ones independently.

    Args:
        ids: (rows, length) token ids.
        candidates: (rows, length) true where a token may be masked.
        probability: chance of each candidate.
        mask_id: id of [MASK].
        vocabulary_size: random replacements are drawn from [106, vocabulary_size).
        generator: source of randomness, on the device of `ids`.

    Returns:
        masked ids (rows, length), and labels (rows, length) with the original id where masked and -100 elsewhere.
    """
    device = ids.device
    order = candidates.cumsum(1)  # (rows, length): 1 for the first candidate of a row, 2 for the second, ...
    count = order[:, -1:]  # (rows, 1)
    draw = torch.rand((ids.shape[0], 1), generator=generator, device=device, dtype=torch.float64)
    if probability < 1.0:
        # P(first <= k | any) = (1 - q^k) / (1 - q^n) with q = 1 - probability, inverted for k.
        keep = torch.tensor(1.0 - probability, dtype=torch.float64, device=device)
        first = torch.ceil(torch.log1p(-draw * (1.0 - keep**count)) / torch.log(keep))
        first = first.clamp(min=1).minimum(count.to(first.dtype))
    else:
        first = torch.ones_like(draw)
    later = torch.rand(ids.shape, generator=generator, device=device) < probability
    chosen = candidates & ((order == first) | ((order > first) & later))

    kind = torch.rand(ids.shape, generator=generator, device=device)
    random_ids = torch.randint(FIRST_RANDOM_ID, vocabulary_size, ids.shape, generator=generator, device=device)
    replacement = torch.where(kind < 0.8, torch.full_like(ids, mask_id), torch.where(kind < 0.9, random_ids, ids))
    return torch.where(chosen, replacement, ids), torch.where(chosen, ids, torch.full_like(ids, IGNORED))


@dataclass(frozen=True)
class MaskedTexts:
    """Masked texts, and where in them something is to be predicted.

    Made on the host, where the number of masked tokens is known: the device never has to be asked for it.

    ids: (rows, length) masked token ids. places: (rows, most masked) positions of masked tokens; rows with fewer are filled up
    with others. predicted: (masked,) which of the flattened `places` are masked. targets: (masked,) their original ids.
    """

    ids: Tensor
    places: Tensor
    predicted: Tensor
    targets: Tensor

    @classmethod
    def of(cls, ids: Tensor, labels: Tensor) -> MaskedTexts:
        """From masked ids and labels as `mask_tokens` gives them, both (rows, length) on the host."""
        masked = labels != IGNORED
        most = int(masked.sum(1).max())
        places = masked.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        is_masked = masked.gather(1, places)
        return cls(ids, places, is_masked.flatten().nonzero()[:, 0], labels.gather(1, places)[is_masked])

    def rows(self, start: int, stop: int) -> MaskedTexts:
        """Those of the texts from `start` to before `stop`."""
        width = self.places.shape[1]
        inside = (self.predicted >= start * width) & (self.predicted < stop * width)
        predicted = self.predicted[inside] - start * width
        return MaskedTexts(self.ids[start:stop], self.places[start:stop], predicted, self.targets[inside])

    def to(self, device: torch.device) -> MaskedTexts:
        """The same on a device."""
        moved = (x.to(device, non_blocking=True) for x in (self.ids, self.places, self.predicted, self.targets))
        return MaskedTexts(*moved)
