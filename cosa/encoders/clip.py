"""CLIP's image encoders: pooling as in COSA, OpenAI's published files, and the precision that those come in.

Source: github.com/openai/CLIP (names as in COSA's published checkpoints, where `clip_model.` stands before them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosa.encoders.plain_vit import PlainVit
from cosa.encoders.published_vision import PublishedVision, count, expect_all, refuse_unknown
from cosa.encoders.vision_family import Statistics

if TYPE_CHECKING:
    from torch import Tensor

HEAD_WIDTH = 64  # OpenAI's rule, which its own loader relies on: heads = width // 64
# timm's name for OpenAI's sizes; others are spelt out on top of the first one.
_NAMES = {(768, 16): "base_patch16", (768, 32): "base_patch32", (1024, 14): "large_patch14"}

# timm's name, OpenAI's name.
_RENAMED = (
    (r"^cls_token$", "class_embedding"),
    (r"^pos_embed$", "positional_embedding"),
    (r"^patch_embed\.proj\.", "conv1."),
    (r"^norm_pre\.", "ln_pre."),
    (r"^norm\.", "ln_post."),
    (r"^blocks\.(\d+)\.norm(\d)\.", r"transformer.resblocks.\1.ln_\2."),
    (r"^blocks\.(\d+)\.attn\.qkv\.", r"transformer.resblocks.\1.attn.in_proj_"),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"transformer.resblocks.\1.attn.out_proj."),
    (r"^blocks\.(\d+)\.mlp\.fc1\.", r"transformer.resblocks.\1.mlp.c_fc."),
    (r"^blocks\.(\d+)\.mlp\.fc2\.", r"transformer.resblocks.\1.mlp.c_proj."),
)

# What OpenAI's loader keeps in float16: weights and biases of convolutions, linear layers and attention. Norms, the class
# embedding and the position embeddings stay in float32.
_HALF = re.compile(r"^visual\.(conv1\.|transformer\.resblocks\.\d+\.(attn|mlp)\.)")


class OpenAiFiles(PublishedVision):
    """A full CLIP in OpenAI's naming, its text tower included."""

    authors = "OpenAI's CLIP"
    place = "clip_model."
    below = "visual."
    mark = "visual.conv1.weight"
    option = "clip"
    unused: Mapping[str, str] = {
        r"^visual\.proj$": "CLIP's own projection; COSA reads the tokens before it",
        r"^(transformer|token_embedding|positional_embedding$|ln_final|text_projection$|prompt_embedding)": (
            "CLIP's text tower; COSA's text encoder is BERT"
        ),
        r"^logit_scale$": "CLIP's own temperature",
        r"^(input_resolution|context_length|vocab_size)$": "a size, not a weight",
    }

    def rename(self, name: str) -> str:
        """See `PublishedVision`."""
        for pattern, replacement in _RENAMED:
            renamed, found = re.subn(pattern, replacement, name)
            if found:
                return renamed
        raise KeyError(name)

    def as_loaded(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """In float32, after a pass through float16 where OpenAI's loader does so (`convert_weights`).

        OpenAI distributes its weights in float16, so nothing changes in its own files; a float32 file is rounded.
        """
        return {name: (value.half() if _HALF.match(name) else value).float() for name, value in weights.items()}

    def sizes(self, weights: Mapping[str, Tensor], path: Path, *, heads: int | None, resolution: int | None) -> dict[str, Any]:
        """See `PublishedVision`. The number of positions tells the resolution."""
        del resolution
        first = "visual.transformer.resblocks.0.mlp.c_fc.weight"
        needed = {"visual.conv1.weight", "visual.positional_embedding", first}
        expect_all(needed - set(weights), path, "the weights of a CLIP vision transformer (a ResNet is none)")
        width, _, patch, _ = weights["visual.conv1.weight"].shape
        side = round((weights["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        if heads is None and width % HEAD_WIDTH:
            refuse_unknown("vision-heads", path)
        inner, outer = weights[first].shape
        return {
            "encoder": f"vit_{_NAMES.get((width, patch), 'base_patch16')}_clip_quickgelu_224",
            "resolution": side * patch,
            "patch_size": patch,
            "embed_dim": width,
            "depth": count(weights, r"visual\.transformer\.resblocks\.(\d+)\."),
            "num_heads": heads or width // HEAD_WIDTH,
            "mlp_ratio": inner / outer,
        }


class Clip(PlainVit):
    """A frame's vector is the class token."""

    title = "CLIP"
    names = ("vit_*_clip_*",)
    example = "vit_base_patch16_clip_quickgelu_224"
    pretrained_learning_rate = 5e-7  # published
    published = OpenAiFiles()
    pooling_weights = ()

    def pixel_statistics(self, backbone: Any) -> tuple[Statistics, Statistics]:
        """OpenAI's, as published."""
        del backbone
        return (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

    def pool(self, backbone: Any, tokens: Tensor) -> Tensor:
        """The class token: (..., tokens, dim) to (..., dim)."""
        del backbone
        return tokens[..., 0, :]
