"""Swin blocks at resolutions that their windows do not divide: pad first, then shift, as the Swin's authors do.

timm shifts first and pads what is already shifted, while its mask is that of a padded grid: at 384 px the tokens of opposite
edges then look at each other. Source of the order: github.com/SwinTransformer/Swin-Transformer-Object-Detection.
"""

from typing import Any

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn


class PaddedSwinBlock(SwinTransformerBlock):
    """timm's block with its padding put right; everything else, weights and masks included, is timm's."""

    def _attn(self, x: Tensor) -> Tensor:
        """(images, rows, columns, dim) normalised tokens to the same shape, by attention in shifted windows."""
        _, rows, columns, dim = x.shape
        high, wide = self.window_size
        down, right = self.shift_size
        x = F.pad(x, (0, 0, 0, -columns % wide, 0, -rows % high))
        padded = x.shape[1:3]
        x = torch.roll(x, (-down, -right), dims=(1, 2))
        windows = window_partition(x, self.window_size).view(-1, self.window_area, dim)
        windows = self.attn(windows, mask=self.attn_mask).view(-1, high, wide, dim)
        x = window_reverse(windows, self.window_size, *padded)
        return torch.roll(x, (down, right), dims=(1, 2))[:, :rows, :columns].contiguous()


def pad_before_shifting(backbone: Any) -> None:
    """Give the blocks of a timm Swin that have to pad the right order; the others stay as they are."""
    for module in backbone.modules():
        if isinstance(module, SwinTransformerBlock) and _pads(module):
            # timm offers no place to name a block's class: stages build it themselves.
            module.__class__ = PaddedSwinBlock


def _pads(block: nn.Module) -> bool:
    sizes = zip(block.input_resolution, block.window_size, strict=True)  # type: ignore[arg-type]
    return any(resolution % window for resolution, window in sizes)
