"""Names of Swin weights: Microsoft's published files against timm's modules.

Source: github.com/microsoft/Swin-Transformer (names as in COSA's published checkpoints). Both hold the same weights in the same
layout. The one difference: patches are merged at the end of a stage there, at the start of the next one in timm.
"""

import re
from collections.abc import Collection

_MERGING = re.compile(r"^layers\.(\d+)\.downsample\.")
# A key that only a headless or whole file in Microsoft's naming has: timm's first stage merges nothing.
_MARK = "layers.0.downsample.reduction.weight"

UNUSED = {
    r"relative_position_index$": "index buffer, computed from the window size",
    r"attn_mask$": "mask buffer, computed from the resolution",
    r"^head\.": "classification head, not part of COSA",
}


def published_name(name: str) -> str:
    """The published name of a weight of timm's Swin, both below the encoder."""
    return _MERGING.sub(lambda match: f"layers.{int(match[1]) - 1}.downsample.", name)


def is_published(names: Collection[str]) -> bool:
    """Whether a file's keys are in Microsoft's naming and not in timm's."""
    return _MARK in names
