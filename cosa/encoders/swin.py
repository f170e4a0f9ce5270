"""Swin transformers: pooling as in COSA, and Microsoft's published files.

Source: github.com/microsoft/Swin-Transformer (names as in COSA's published checkpoints, where `video_encoder.` stands before
them). Microsoft and timm hold the same weights in the same layout. The one difference: patches are merged at the end of a stage
there, at the start of the next one in timm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cosa.encoders.published_vision import PublishedVision, count, expect_all, refuse_unknown
from cosa.encoders.vision_family import EncoderSizes, Statistics, VisionFamily

if TYPE_CHECKING:
    from torch import Tensor, nn


_MERGING = re.compile(r"^layers\.(\d+)\.downsample\.")


class MicrosoftFiles(PublishedVision):
    """A Swin with or without its classification head."""

    authors = "Microsoft's Swin"
    place = "video_encoder."
    below = ""
    mark = "layers.0.downsample.reduction.weight"  # timm's first stage merges nothing
    option = "swin"
    unused: Mapping[str, str] = {
        r"relative_position_index$": "index buffer, computed from the window size",
        r"attn_mask$": "mask buffer, computed from the resolution",
        r"^head\.": "classification head, not part of COSA",
    }

    def rename(self, name: str) -> str:
        """See `PublishedVision`."""
        return _MERGING.sub(lambda match: f"layers.{int(match[1]) - 1}.downsample.", name)

    def as_loaded(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """As they are."""
        return weights

    def sizes(self, weights: Mapping[str, Tensor], path: Path, *, heads: int | None, resolution: int | None) -> dict[str, Any]:
        """See `PublishedVision`. Tables of relative positions tell the heads; masks of shifted windows, the resolution."""
        del heads
        first = "layers.0.blocks.0.mlp.fc1.weight"
        expect_all({"patch_embed.proj.weight", first} - set(weights), path, "a Swin's weights")
        width, _, patch, _ = weights["patch_embed.proj.weight"].shape
        stages = count(weights, r"layers\.(\d+)\.")
        tables = [f"layers.{stage}.blocks.0.attn.relative_position_bias_table" for stage in range(stages)]
        expect_all([name for name in tables if name not in weights], path, "a Swin's weights")
        window = (round(weights[tables[0]].shape[0] ** 0.5) + 1) // 2  # (2 * window - 1)^2 offsets
        resolution = _masked_resolution(weights, patch, window) or resolution
        if resolution is None:
            refuse_unknown("resolution", path)
        inner, outer = weights[first].shape
        return {
            "encoder": "swin_base_patch4_window7_224",
            "resolution": resolution,
            "patch_size": patch,
            "embed_dim": width,
            "depth": tuple(count(weights, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in range(stages)),
            "num_heads": tuple(weights[name].shape[1] for name in tables),
            "mlp_ratio": inner / outer,
            "window_size": window,
        }


def _masked_resolution(weights: Mapping[str, Tensor], patch: int, window: int) -> int | None:
    """From the number of windows in a mask of shifted windows."""
    for name, value in weights.items():
        match = re.match(r"layers\.(\d+)\.blocks\.\d+\.attn_mask$", name)
        if match:
            return round(value.shape[0] ** 0.5) * window * patch * 2 ** int(match[1])
    return None


class Swin(VisionFamily):
    """A frame's vector is the mean of its tokens."""

    title = "Swin"
    names = ("swin_*",)
    example = "swin_base_patch4_window7_224"
    sizes: Mapping[str, str] = {
        "patch_size": "patch_size", "embed_dim": "embed_dim", "depth": "depths", "num_heads": "num_heads",
        "mlp_ratio": "mlp_ratio", "window_size": "window_size",
    }  # fmt: skip
    staged = True
    smallest: Mapping[str, Any] = MappingProxyType(
        {"resolution": 32, "patch_size": 4, "window_size": 4, "embed_dim": 16, "depth": [1, 1], "num_heads": [2, 2]}
    )
    stochastic_depth = 0.2  # published
    pretrained_learning_rate = None
    published = MicrosoftFiles()
    pooling_weights = ()

    def pixel_statistics(self, backbone: Any) -> tuple[Statistics, Statistics]:
        """ImageNet's, as published."""
        del backbone
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def pool(self, backbone: Any, tokens: Tensor) -> Tensor:
        """The mean: (..., tokens, dim) to (..., dim)."""
        del backbone
        return tokens.mean(-2)

    def blocks(self, backbone: Any) -> Iterable[nn.Module]:
        """Stage after stage."""
        return [block for stage in backbone.layers for block in stage.blocks]

    def improve(self, backbone: Any, config: EncoderSizes) -> None:
        """See swin_blocks.py."""
        resolve_name("cosa.encoders.swin_blocks:improve_blocks")(backbone, config)
