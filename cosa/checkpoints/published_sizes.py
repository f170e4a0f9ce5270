"""What a published state dict tells about its model: sizes follow from shapes, numbers of heads mostly do not.

Configurations say `pretrained: true`, since the weights come from a trained encoder: a CLIP encoder then keeps its own small
learning rate in finetuning.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cosa.checkpoints.published_names import VISION_PREFIX, Family
from cosa.checkpoints.weight_files import expect_all
from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError
from cosa.model_config import ModelConfig

CLIP_HEAD_WIDTH = 64  # OpenAI's rule, which its own loader relies on: heads = width // 64
BERT_HEADS = {768: 12, 1024: 16}  # BERT-base and BERT-large by width; other sizes have to be told
# timm's name for OpenAI's sizes; others are spelt out on top of the first one.
_CLIP_NAMES = {(768, 16): "base_patch16", (768, 32): "base_patch32", (1024, 14): "large_patch14"}
_BERT = "multimodal_encoder.bert."


def config_of(
    weights: Mapping[str, Tensor],
    path: Path,
    *,
    text_heads: int | None = None,
    vision_heads: int | None = None,
    resolution: int | None = None,
) -> ModelConfig:
    """Configuration of the model that a published state dict belongs to.

    Args:
        weights: by published name.
        path: of the file, for messages.
        text_heads: attention heads of BERT; needed for sizes other than base and large.
        vision_heads: attention heads of a CLIP encoder, if they are not 64 wide.
        resolution: side of the images, pixels, if the file does not tell: a Swin without masks of shifted windows.

    Raises:
        UserError: names or shapes are not those of a COSA model, or something has to be told.
    """
    family = family_of(weights, path)
    vision = {key.removeprefix(VISION_PREFIX[family]): v for key, v in weights.items() if key.startswith(VISION_PREFIX[family])}
    found = swin_config(vision, path, resolution) if family == "swin" else clip_config(vision, path, vision_heads)
    expect_all({"video_frame_embedding", "contra_head_t.linear.weight"} - set(weights), path, "a whole COSA model")
    return ModelConfig(
        vision=found,
        text=_text_config(weights, path, text_heads),
        contrastive_dim=weights["contra_head_t.linear.weight"].shape[0],
        frame_positions=weights["video_frame_embedding"].shape[1],
    )


def family_of(weights: Iterable[str], path: Path) -> Family:
    """Which vision encoder a published COSA state dict has."""
    names = list(weights)
    families: list[Family] = [f for f, prefix in VISION_PREFIX.items() if any(name.startswith(prefix) for name in names)]
    if len(families) != 1 or not any(name.startswith(_BERT) for name in names):
        raise UserError(
            f"{path.resolve()} is no published COSA model: expected keys that begin with 'multimodal_encoder.bert.' and with "
            f"'video_encoder.' (Swin) or 'clip_model.visual.' (CLIP), found such as {', '.join(names[:3])}. Weights of an "
            "image encoder alone belong in model.vision.pretrained"
        )
    return families[0]


def _count(names: Iterable[str], pattern: str) -> int:
    """One more than the highest number that the pattern's group matches."""
    return 1 + max((int(match[1]) for name in names if (match := re.match(pattern, name))), default=-1)


def _text_config(weights: Mapping[str, Tensor], path: Path, heads: int | None) -> TextConfig:
    embeddings = f"{_BERT}embeddings."
    words, positions = f"{embeddings}word_embeddings.weight", f"{embeddings}position_embeddings.weight"
    tied = "multimodal_encoder.cls.predictions.decoder.weight"
    words = words if words in weights else tied
    inner = f"{_BERT}encoder.layer.0.intermediate.dense.weight"
    expect_all([name for name in (words, positions, inner) if name not in weights], path, "BERT's weights")
    vocabulary, hidden = weights[words].shape
    heads = heads or BERT_HEADS.get(hidden)
    if heads is None:
        raise UserError(
            f"{path.resolve()}: BERT is {hidden} wide, neither base (768) nor large (1024), and a state dict does not tell its "
            "attention heads; give --text-heads (import-checkpoint), or "
            'put {"num_attention_heads": N} into an hps.json beside the file'
        )
    return TextConfig(
        encoder="bert-large-uncased" if hidden == 1024 else "bert-base-uncased",
        hidden_size=hidden,
        num_hidden_layers=_count(weights, rf"{re.escape(_BERT)}encoder\.layer\.(\d+)\."),
        num_attention_heads=heads,
        intermediate_size=weights[inner].shape[0],
        vocabulary_size=vocabulary,
        max_position_embeddings=weights[positions].shape[0],
    )


def swin_config(weights: Mapping[str, Tensor], path: Path, resolution: int | None = None) -> VisionConfig:
    """Sizes of a Swin in Microsoft's naming (names below the encoder)."""
    expect_all({"patch_embed.proj.weight", "layers.0.blocks.0.mlp.fc1.weight"} - set(weights), path, "a Swin's weights")
    width, _, patch, _ = weights["patch_embed.proj.weight"].shape
    stages = _count(weights, r"layers\.(\d+)\.")
    depth = tuple(_count(weights, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in range(stages))
    tables = [f"layers.{stage}.blocks.0.attn.relative_position_bias_table" for stage in range(stages)]
    expect_all([name for name in tables if name not in weights], path, "a Swin's weights")
    window = (round(weights[tables[0]].shape[0] ** 0.5) + 1) // 2  # (2 * window - 1)^2 offsets
    return VisionConfig(
        encoder="swin_base_patch4_window7_224",
        resolution=_swin_resolution(weights, patch, window) or resolution or _told("resolution", path),
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=tuple(weights[name].shape[1] for name in tables),
        mlp_ratio=_mlp_ratio(weights["layers.0.blocks.0.mlp.fc1.weight"]),
        window_size=window,
        pretrained=True,
    )


def _told(what: str, path: Path) -> Any:
    raise UserError(f"{path.resolve()} does not tell its {what}; import it with `cosa import-checkpoint --{what}`")


def _swin_resolution(weights: Mapping[str, Tensor], patch: int, window: int) -> int | None:
    """From the number of windows in a mask of shifted windows."""
    for name, value in weights.items():
        match = re.match(r"layers\.(\d+)\.blocks\.\d+\.attn_mask$", name)
        if match:
            return round(value.shape[0] ** 0.5) * window * patch * 2 ** int(match[1])
    return None


def clip_config(weights: Mapping[str, Tensor], path: Path, heads: int | None = None) -> VisionConfig:
    """Sizes of a CLIP vision transformer in OpenAI's naming (names below `visual.`)."""
    needed = {"conv1.weight", "positional_embedding", "transformer.resblocks.0.mlp.c_fc.weight"}
    expect_all(needed - set(weights), path, "the weights of a CLIP vision transformer (a ResNet is none)")
    width, _, patch, _ = weights["conv1.weight"].shape
    side = round((weights["positional_embedding"].shape[0] - 1) ** 0.5)
    if heads is None and width % CLIP_HEAD_WIDTH:
        _told("vision-heads", path)
    return VisionConfig(
        encoder=f"vit_{_CLIP_NAMES.get((width, patch), 'base_patch16')}_clip_quickgelu_224",
        resolution=side * patch,
        patch_size=patch,
        embed_dim=width,
        depth=_count(weights, r"transformer\.resblocks\.(\d+)\."),
        num_heads=heads or width // CLIP_HEAD_WIDTH,
        mlp_ratio=_mlp_ratio(weights["transformer.resblocks.0.mlp.c_fc.weight"]),
        pretrained=True,
    )


def _mlp_ratio(first: Tensor) -> float:
    """From the first linear layer of a feed-forward block, (inner, width)."""
    return first.shape[0] / first.shape[1]
