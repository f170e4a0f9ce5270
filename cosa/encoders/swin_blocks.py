"""timm's Swin blocks, put right and made cheaper; weights, masks and everything else are timm's.

Padding: at resolutions that the windows do not divide, pad first, then shift, as the Swin's authors do. timm shifts first and
pads what is already shifted, while its mask is that of a padded grid: at 384 px the tokens of opposite edges then look at each
other. Source of the order: github.com/SwinTransformer/Swin-Transformer-Object-Detection.
"""

from typing import Any

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn

from cosa.ops import add_branch, feed_forward


class SwinBlock(SwinTransformerBlock):
    """A block of a Swin transformer."""

    def _attn(self, x: Tensor) -> Tensor:
        """(images, rows, columns, dim) normalised tokens to the same shape, by attention in shifted windows."""
        _, rows, columns, dim = x.shape
        high, wide = self.window_size
        down, right = self.shift_size
        if rows % high or columns % wide:
            x = F.pad(x, (0, 0, 0, -columns % wide, 0, -rows % high))
        padded = x.shape[1:3]
        if down or right:
            x = torch.roll(x, (-down, -right), dims=(1, 2))
        windows = window_partition(x, self.window_size).view(-1, self.window_area, dim)
        windows = self.attn(windows, mask=self.attn_mask).view(-1, high, wide, dim)
        x = window_reverse(windows, self.window_size, *padded)
        if down or right:
            x = torch.roll(x, (down, right), dims=(1, 2))
        return x[:, :rows, :columns].contiguous() if padded != (rows, columns) else x

    def forward(self, x: Tensor) -> Tensor:
        """(images, rows, columns, dim) to the same shape."""
        x = add_branch(x, lambda kept: self._attn(self.norm1(kept)), self.drop_path1)
        return add_branch(x, lambda kept: feed_forward(self.norm2(kept), self.mlp.fc1, self.mlp.fc2), self.drop_path2)


def improve_blocks(backbone: Any) -> None:
    """Turn the blocks of a timm Swin into ours."""
    for module in backbone.modules():
        if isinstance(module, SwinTransformerBlock):
            # timm offers no place to name a block's class: stages build it themselves.
            module.__class__ = SwinBlock
            assert isinstance(module.mlp.act, nn.GELU), "SwinBlock's feed-forward branch is that of GELU"
