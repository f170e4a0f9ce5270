"""The image encoder: every frame becomes a grid of tokens, independently of the other frames."""

from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from cosa.config import VisionConfig
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

    def __init__(self, config: VisionConfig, *, load_pretrained: bool = True):
        super().__init__()
        self.config = config
        self.backbone = _build_backbone(config, load_pretrained=load_pretrained)
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
        """One vector a frame: the class token of a CLIP encoder, the mean of a Swin's tokens. (..., tokens, dim) to (..., dim)."""
        return tokens[..., 0, :] if self.config.family == "clip" else tokens.mean(-2)


def _build_backbone(config: VisionConfig, *, load_pretrained: bool) -> Any:
    if config.encoder not in timm.list_models():
        raise UserError(
            f"model.vision.encoder: timm has no model {config.encoder!r}; `python -c \"import timm; "
            "print(timm.list_models('swin_*') + timm.list_models('vit_*_clip_*'))\"` lists them"
        )
    depth_name = "depths" if config.family == "swin" else "depth"
    sizes = {
        "patch_size": config.patch_size,
        "embed_dim": config.embed_dim,
        depth_name: config.depth,
        "num_heads": config.num_heads,
        "window_size": config.window_size,
    }
    from_hub = load_pretrained and config.pretrained is True
    try:
        backbone = timm.create_model(
            config.encoder,
            pretrained=from_hub,
            img_size=config.resolution,
            num_classes=0,
            drop_path_rate=config.drop_path_rate,
            **{name: value for name, value in sizes.items() if value is not None},
        )
    except (OSError, RuntimeError) as error:
        if not from_hub:
            raise
        raise UserError(
            f"model.vision.pretrained: the weights of {config.encoder!r} could not be fetched from the hub "
            f"({type(error).__name__}); give the path of a downloaded file, or false for random weights"
        ) from error
    except (AssertionError, ValueError, TypeError) as error:
        raise UserError(f"model.vision: timm cannot build {config.encoder!r} of these sizes: {error}") from error
    if load_pretrained and isinstance(config.pretrained, str):
        _load_backbone_file(backbone, Path(config.pretrained))
    return backbone


def _load_backbone_file(backbone: nn.Module, path: Path) -> None:
    """Weights in timm's own naming from a local file (safetensors, or a pickle-free torch file)."""
    from timm.models import load_checkpoint

    if not path.is_file():
        raise UserError(f"model.vision.pretrained: no file {path.resolve()}")
    load_checkpoint(backbone, str(path), strict=False, weights_only=True)
