"""Names of CLIP's image encoder: OpenAI's published files against timm's modules, and the precision they come in.

Source: github.com/openai/CLIP (names as in COSA's published checkpoints, where `clip_model.` stands before them).
"""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

# timm's name, OpenAI's name; the layout is the same but for unit dimensions.
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
VISUAL = "visual."
_MARK = "visual.conv1.weight"

UNUSED = {
    r"^visual\.proj$": "CLIP's own projection; COSA reads the tokens before it",
    r"^(transformer|token_embedding|positional_embedding$|ln_final|text_projection$|prompt_embedding)": (
        "CLIP's text tower; COSA's text encoder is BERT"
    ),
    r"^logit_scale$": "CLIP's own temperature",
    r"^(input_resolution|context_length|vocab_size)$": "a size, not a weight",
}

# What OpenAI's loader keeps in float16: weights and biases of convolutions, linear layers and attention. Norms, the class
# embedding and the position embeddings stay in float32.
_HALF = re.compile(r"^visual\.(conv1\.|transformer\.resblocks\.\d+\.(attn|mlp)\.)")


def published_name(name: str) -> str:
    """The published name of a weight of timm's CLIP vision transformer, both below the encoder ("visual." left out)."""
    for pattern, replacement in _RENAMED:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    raise KeyError(name)


def is_published(names: Collection[str]) -> bool:
    """Whether a file's keys are those of a whole CLIP in OpenAI's naming."""
    return _MARK in names


def rounded_to_half(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image encoder's weights with the values that OpenAI's loader gives them, in float32.

    OpenAI distributes its weights in float16, so nothing changes in its own files; a float32 file goes through float16 in
    the published code (`convert_weights`), and its model is the rounded one.
    """
    return {name: (value.half() if _HALF.match(name) else value).float() for name, value in weights.items()}
