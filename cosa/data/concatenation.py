"""Concatenated samples: the idea of COSA (paper, section 3.2). Every sample is joined with others drawn at random from the
global batch: their frames along time, their captions with spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the spec is checked without numpy
    import numpy as np


def draw_partners(
    global_batch: int, row: int, partners: int, generator: np.random.Generator, *, with_self: bool = False
) -> np.ndarray:
    """Positions in the global batch of the samples that a row is joined with: (partners,), distinct, never the row itself.

    Args:
        global_batch: samples over all workers.
        row: the row's own position.
        partners: how many samples join it, one less than the number concatenated.
        generator: source of randomness.
        with_self: draw from the full batch, the row included, as the published code does.

    Raises:
        ValueError: the batch has too few other samples.
    """
    if with_self and partners <= global_batch:
        return generator.choice(global_batch, partners, replace=False)
    if partners > global_batch - 1:
        raise ValueError(f"cannot draw {partners} other samples from a batch of {global_batch}")
    others = generator.choice(global_batch - 1, partners, replace=False)
    return others + (others >= row)  # positions behind the row itself move up by one


def concatenated_text_limit(max_text_tokens: int, concatenated: int) -> int:
    """Longest joined caption in tokens: max_text_tokens * ceil(concatenated / 2), as published."""
    return max_text_tokens * -(-concatenated // 2)


def join_tokens(captions: Sequence[Sequence[int]]) -> list[int]:
    """Token ids of captions joined with single spaces.

    WordPiece splits at spaces first, so joining the ids equals tokenising the joined text.
    """
    return [token for caption in captions for token in caption]
