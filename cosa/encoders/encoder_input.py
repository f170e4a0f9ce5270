"""What goes into the text encoder, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cosa.encoders.kv_cache import KeysValues, KVCache, VideoMemory


@dataclass(frozen=True)
class EncoderInput:
    """Texts to be encoded, alone or while they attend to videos.

    Args:
        ids: (rows, length) token ids.
        mask: bool, true where a query may look: (rows, past + length) for all queries alike, or (rows, length, past + length).
        memory: videos to attend to. `rows` is a multiple g of its videos; rows v*g to v*g+g-1 look at video v, and their
            cross-attention runs together, so that nothing of the video is copied.
        wanted: (rows, k) the positions whose hidden states are asked for: the last layer computes no others. All if left out.
        positions: (length,) or (rows, length) position numbers; counted from 0 when left out.
        cache: keys and values of earlier positions; those of `ids` are appended.
    """

    ids: Tensor
    mask: Tensor
    memory: VideoMemory | None = None
    wanted: Tensor | None = None
    positions: Tensor | None = None
    cache: KVCache | None = None

    def position_numbers(self) -> Tensor:
        """(rows, length)."""
        positions = self.positions
        if positions is None:
            positions = torch.arange(self.ids.shape[1], device=self.ids.device)
        return positions.expand_as(self.ids)


@dataclass(frozen=True)
class EncoderOutput:
    """What became of one input.

    hidden: (rows, length or k, hidden) states after the last layer. keys_values: of the texts, one pair a layer (without the
    past).
    """

    hidden: Tensor
    keys_values: list[KeysValues]


def joined(parts: list[Tensor]) -> Tensor:
    """One after the other along dimension 0."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class PackedInputs:
    """The tokens of all inputs as rows of one matrix, input after input.

    sizes, wanted_sizes: tokens of each input. ids, positions: (tokens,). wanted: (wanted tokens,) rows of the matrix, None if
    all are wanted. masks: (rows, 1, length or 1, past + length) of each input; wanted_masks: of the wanted tokens.
    """

    def __init__(self, inputs: Sequence[EncoderInput]):
        self.inputs = inputs
        self.sizes = [given.ids.numel() for given in inputs]
        self.ids = joined([given.ids.flatten() for given in inputs])
        self.positions = joined([given.position_numbers().flatten() for given in inputs])
        self.masks = [given.mask[:, None, None] if given.mask.dim() == 2 else given.mask[:, None] for given in inputs]
        self.wanted: Tensor | None = None
        self.wanted_sizes, self.wanted_masks = self.sizes, self.masks
        if any(given.wanted is not None for given in inputs):
            self._choose_wanted()

    def _choose_wanted(self) -> None:
        rows_wanted: list[Tensor] = []
        self.wanted_masks = []
        start = 0
        for given, mask, size in zip(self.inputs, self.masks, self.sizes, strict=True):
            rows, length = given.ids.shape
            wanted, wanted_mask = given.wanted, mask
            if wanted is None:
                wanted = torch.arange(length, device=given.ids.device).expand(rows, -1)
            elif mask.shape[2] > 1:
                wanted_mask = mask.take_along_dim(wanted[:, None, :, None], dim=2)
            offsets = start + length * torch.arange(rows, device=wanted.device)
            rows_wanted.append((wanted + offsets[:, None]).flatten())
            self.wanted_masks.append(wanted_mask)
            start += size
        self.wanted_sizes = [len(chosen) for chosen in rows_wanted]
        self.wanted = joined(rows_wanted)
