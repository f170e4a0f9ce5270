"""timm's Swin blocks, put right and made cheaper; weights, masks and everything else are timm's.

Padding: at resolutions that the windows do not divide, pad first, then shift, as the Swin's authors do. timm shifts first and
pads what is already shifted, while its mask is that of a padded grid: at 384 px the tokens of opposite edges then look at each
other. Source of the order: github.com/SwinTransformer/Swin-Transformer-Object-Detection.
"""

import logging
import operator
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn

from cosa.encoders.vision_family import EncoderSizes
from cosa.errors import UserError
from cosa.ops import add_branch, feed_forward

_LOG = logging.getLogger(__name__)

# What `SwinBlock` uses of timm's block; the last one only GELU has.
_NEEDED = (
    "norm1", "norm2", "attn", "attn_mask", "window_size", "window_area", "shift_size", "drop_path1", "drop_path2",
    "mlp.fc1.weight", "mlp.fc2.weight", "mlp.act.approximate",
)  # fmt: skip


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


def improve_blocks(backbone: Any, config: EncoderSizes) -> None:
    """Turn the blocks of a timm Swin into ours.

    A release of timm may build blocks that ours cannot stand in for. They stay, and the log says so, where they compute the
    same: at resolutions that the windows divide.

    Raises:
        UserError: they stay and are wrong at this resolution.
    """
    blocks = [module for module in backbone.modules() if isinstance(module, SwinTransformerBlock)]
    missing = sorted({name for block in blocks for name in _NEEDED if not _has(block, name)})
    if blocks and not missing:
        for block in blocks:
            block.__class__ = SwinBlock  # timm offers no place to name a block's class: stages build it themselves
        return
    lack = f"timm {timm.__version__} builds {config.encoder!r} without {missing[0] if missing else 'SwinTransformerBlock'}"
    if not blocks or not all(map(_cut_into_windows, blocks)):
        raise UserError(
            f"model.vision: {lack}, which padding to full windows needs at {config.resolution} pixels; give a resolution that "
            "the windows divide in every stage, such as the encoder's own, or install the timm of constraints.txt"
        )
    _LOG.warning("%s: its own blocks are used, which compute the same at this resolution", lack)


def _has(block: nn.Module, name: str) -> bool:
    """Whether a block has something under a dotted name."""
    try:
        operator.attrgetter(name)(block)
    except AttributeError:
        return False
    return True


def _cut_into_windows(block: Any) -> bool:
    """Whether a block's windows divide its tokens; no, if it does not tell."""
    try:
        return all(side % window == 0 for side, window in zip(block.input_resolution, block.window_size, strict=True))
    except AttributeError:
        return False
