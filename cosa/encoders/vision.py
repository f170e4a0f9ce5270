"""The image encoder: every frame becomes a grid of tokens, independently of the other frames."""

from typing import Any

import torch
from torch import Tensor, nn

from cosa.encoders.vision_checks import indivisible, unknown_encoder
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError


class VisionEncoder(nn.Module):
    """An encoder of timm without its classification head, with random weights. What depends on its kind, its family knows."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config, self.family = config, config.family
        self.backbone = _build_backbone(config)
        self.output_dim: int = self.backbone.num_features
        mean, std = self.family.pixel_statistics(self.backbone)
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

    @property
    def pooling_weights(self) -> tuple[str, ...]:
        """Beginnings of names of the weights that work in `pool` alone: losses that take no pooled vector do not train them."""
        return tuple(f"backbone.{name}" for name in self.family.pooling_weights)

    def pool(self, tokens: Tensor) -> Tensor:
        """One vector a frame, (..., tokens, dim) to (..., dim), in the family's way."""
        return self.family.pool(self.backbone, tokens)


def _build_backbone(config: VisionConfig) -> Any:
    import timm  # here: it takes seconds, and what only names a model needs none of it

    _check_name(config)
    drawn = {} if config.weight_init == "timm" else {"weight_init": config.weight_init}
    try:
        backbone = timm.create_model(
            config.encoder,
            img_size=config.resolution,
            num_classes=0,
            drop_path_rate=config.stochastic_depth,
            **drawn,
            **config.family.timm_arguments(config),
        )
    except (AssertionError, ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise UserError(f"model.vision: timm cannot build {config.encoder!r} of these sizes: {error}") from error
    problem = indivisible(config.resolution, backbone.patch_embed.patch_size[0], config.encoder)
    if problem is not None:
        raise UserError(f"model.vision.resolution: {problem}")
    config.family.improve(backbone, config)
    return backbone


def _check_name(config: VisionConfig) -> None:
    import timm

    name, _, tag = config.encoder.partition(".")
    problem = None if timm.is_model(name) else unknown_encoder(config, timm.list_models())
    if problem is not None:
        raise UserError(f"model.vision.encoder: {problem}")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        available = f"its tags are {', '.join(tags)}" if tags else "timm has no weights for it: leave the tag out"
        raise UserError(f"model.vision.encoder: {name!r} has no tag {tag!r}; {available}")
