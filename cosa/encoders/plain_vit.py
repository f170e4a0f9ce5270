"""Plain vision transformers of timm: augreg, DeiT-like, DINOv2 and DINOv3, Perception Encoders and more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cosa.encoders.vision_family import Statistics, VisionFamily

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cosa.encoders.published_vision import PublishedVision


class PlainVit(VisionFamily):
    """timm knows all about them: pixel statistics and pooling are those of its own configuration of each encoder.

    Where timm normalises after pooling alone (`*_gap_*` with an `fc_norm`), tokens are those before that normalisation.
    """

    title = "ViT"
    names: tuple[str, ...] = ("vit_*",)
    example = "vit_base_patch14_dinov2"
    sizes: Mapping[str, str] = {name: name for name in ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")}
    staged = False
    smallest: Mapping[str, Any] = MappingProxyType(
        {"resolution": 32, "patch_size": 16, "embed_dim": 16, "depth": 2, "num_heads": 2}
    )
    stochastic_depth = 0.0
    pretrained_learning_rate: float | None = None
    published: PublishedVision | None = None
    pooling_weights: tuple[str, ...] = ("attn_pool.", "fc_norm.")

    def pixel_statistics(self, backbone: Any) -> tuple[Statistics, Statistics]:
        """Of timm's configuration of the encoder."""
        return backbone.pretrained_cfg["mean"], backbone.pretrained_cfg["std"]

    def pool(self, backbone: Any, tokens: Tensor) -> Tensor:
        """(..., tokens, dim) to (..., dim) as timm does: class token, mean, or attention."""
        pooled: Tensor = backbone.forward_head(tokens.flatten(0, -3), pre_logits=True)  # (images, dim)
        return pooled.unflatten(0, tokens.shape[:-2])

    def blocks(self, backbone: Any) -> Iterable[nn.Module]:
        """One after the other."""
        blocks: Iterable[nn.Module] = backbone.blocks
        return blocks
