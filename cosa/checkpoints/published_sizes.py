"""What a published state dict tells about its model: sizes follow from shapes, numbers of heads mostly do not.

Configurations say `pretrained: true`, since the weights come from a trained encoder: a CLIP encoder then keeps its own small
learning rate in finetuning.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from cosa.encoders.published_vision import PublishedVision, count, expect_all
from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.encoders.vision_families import VISION_FAMILIES
from cosa.errors import UserError
from cosa.model_config import ModelConfig

BERT_HEADS = {768: 12, 1024: 16}  # BERT-base and BERT-large by width; other sizes have to be given
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
        UserError: names or shapes are not those of a COSA model, or a size has to be given.
    """
    files = published_vision_of(weights, path)
    vision = {key.removeprefix(files.place): value for key, value in weights.items() if key.startswith(files.place)}
    sizes = files.sizes(vision, path, heads=vision_heads, resolution=resolution)
    expect_all({"video_frame_embedding", "contra_head_t.linear.weight"} - set(weights), path, "a full COSA model")
    return ModelConfig(
        vision=VisionConfig.model_validate({**sizes, "pretrained": True}),
        text=_text_config(weights, path, text_heads),
        contrastive_dim=weights["contra_head_t.linear.weight"].shape[0],
        frame_positions=weights["video_frame_embedding"].shape[1],
    )


def published_vision_of(weights: Iterable[str], path: Path) -> PublishedVision:
    """The published files whose image encoder is in a published COSA state dict."""
    names = list(weights)
    known = [family.published for family in VISION_FAMILIES.values() if family.published is not None]
    found = [files for files in known if any(name.startswith(files.prefix) for name in names)]
    if len(found) != 1 or not any(name.startswith(_BERT) for name in names):
        prefixes = " or ".join(f"{files.prefix!r} ({files.authors})" for files in known)
        raise UserError(
            f"{path.resolve()} is no published COSA model: expected keys that begin with 'multimodal_encoder.bert.' and with "
            f"{prefixes}, found such as {', '.join(names[:3])}. Weights of an image encoder alone belong in "
            "model.vision.pretrained"
        )
    return found[0]


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
        num_hidden_layers=count(weights, rf"{re.escape(_BERT)}encoder\.layer\.(\d+)\."),
        num_attention_heads=heads,
        intermediate_size=weights[inner].shape[0],
        vocabulary_size=vocabulary,
        max_position_embeddings=weights[positions].shape[0],
    )
