"""The image encoder: every frame becomes a grid of tokens, independently of the other frames."""

from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from cosa.encoders.swin_blocks import improve_blocks
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError

# Pixel statistics that the published code normalises with, per encoder family.
PIXEL_STATISTICS = {
    "swin": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    "clip": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
}


class VisionEncoder(nn.Module):
    """A timm Swin or CLIP vision transformer without its classification head."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        self.backbone = _build_backbone(config)
        self.output_dim: int = self.backbone.num_features
        mean, std = PIXEL_STATISTICS[config.family]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        if config.frozen:
            self.backbone.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(images, 3, height, width) to (images, tokens, output_dim): all tokens after the last normalisation.

        Images in uint8 are normalised here, on the model's device: batches travel at a quarter of the size.
        """
        if images.dtype == torch.uint8:
            images = (images.to(self.mean.dtype) / 255.0 - self.mean) / self.std
        tokens = self.backbone.forward_features(images)
        return tokens.flatten(1, 2) if tokens.dim() == 4 else tokens  # Swin gives (images, rows, columns, dim)

    def pool(self, tokens: Tensor) -> Tensor:
        """One vector a frame, (..., tokens, dim) to (..., dim): a CLIP encoder's class token, the mean of a Swin's tokens."""
        return tokens[..., 0, :] if self.config.family == "clip" else tokens.mean(-2)


def _build_backbone(config: VisionConfig) -> Any:
    _check_name(config.encoder)
    depth_name = "depths" if config.family == "swin" else "depth"
    sizes = {
        "patch_size": config.patch_size,
        "embed_dim": config.embed_dim,
        depth_name: config.depth,
        "num_heads": config.num_heads,
        "window_size": config.window_size,
        "mlp_ratio": config.mlp_ratio,
    }
    try:
        backbone = timm.create_model(
            config.encoder,
            img_size=config.resolution,
            num_classes=0,
            drop_path_rate=config.stochastic_depth,
            weight_init="" if config.weight_init == "timm" else config.weight_init,
            **{name: value for name, value in sizes.items() if value is not None},
        )
    except (AssertionError, ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise UserError(f"model.vision: timm cannot build {config.encoder!r} of these sizes: {error}") from error
    patch = backbone.patch_embed.patch_size[0]
    if config.resolution % patch:
        raise UserError(
            f"model.vision.resolution: {config.resolution} is not a multiple of {patch}, the patches of {config.encoder!r}; "
            f"give {config.resolution // patch * patch or patch} or {(config.resolution // patch + 1) * patch}"
        )
    if config.family == "swin":
        improve_blocks(backbone)
    return backbone


def _check_name(encoder: str) -> None:
    name, _, tag = encoder.partition(".")
    if not timm.is_model(name):
        raise UserError(
            f'model.vision.encoder: timm has no model {name!r}; `python -c "import timm; '
            "print(timm.list_models('swin_*') + timm.list_models('vit_*_clip_*'))\"` lists them"
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        available = f"its tags are {', '.join(tags)}" if tags else "timm has no weights for it: leave the tag out"
        raise UserError(f"model.vision.encoder: {name!r} has no tag {tag!r}; {available}")
