"""The image encoder: every frame becomes a grid of tokens, independently of the other frames."""

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from cosa.checkpoints.published_vision import is_published_vision, load_published_vision
from cosa.checkpoints.weight_files import read_weights
from cosa.encoders.positions import resize_position_grid
from cosa.encoders.swin_blocks import improve_blocks
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError

_LOG = logging.getLogger(__name__)

_GRID = "pos_embed"  # timm's name of a CLIP encoder's positions
_GRIDS_IN_FILES = (_GRID, "visual.positional_embedding", "visual.trunk.pos_embed")

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
        """One vector a frame, (..., tokens, dim) to (..., dim): a CLIP encoder's class token, the mean of a Swin's tokens."""
        return tokens[..., 0, :] if self.config.family == "clip" else tokens.mean(-2)


def _build_backbone(config: VisionConfig, *, load_pretrained: bool) -> Any:
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
    if load_pretrained and config.pretrained is True:
        _load_from_hub(backbone, config.encoder)
    elif load_pretrained and isinstance(config.pretrained, str):
        _load_backbone_file(backbone, config, Path(config.pretrained))
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


def _load_from_hub(backbone: Any, encoder: str) -> None:
    from timm.models import load_pretrained

    advice = "give the path of a downloaded file, or false for random weights"
    if not backbone.pretrained_cfg.get("hf_hub_id") and not backbone.pretrained_cfg.get("url"):
        raise UserError(f"model.vision.pretrained: timm has no weights for {encoder!r}; {advice}")
    try:
        load_pretrained(backbone, num_classes=0, filter_fn=_filter_of(backbone))
    except OSError as error:
        raise UserError(
            f"model.vision.pretrained: the weights of {encoder!r} could not be fetched from the hub "
            f"({type(error).__name__}); {advice}"
        ) from error
    except RuntimeError as error:
        raise UserError(_do_not_fit(f"model.vision.pretrained: the weights of {encoder!r}", error)) from error


def _load_backbone_file(backbone: nn.Module, config: VisionConfig, path: Path) -> None:
    """Weights from a local file, in Microsoft's naming (Swin), OpenAI's (CLIP) or timm's own."""
    if not path.is_file():
        raise UserError(f"model.vision.pretrained: no file {path.resolve()}")
    weights = read_weights(path)
    where = f"model.vision.pretrained: {path.resolve()}"
    if is_published_vision(weights, config.family):
        report = load_published_vision(backbone, weights, config.family, path)
        _LOG.info("\n".join(report.lines()))
        return
    try:
        found = backbone.load_state_dict(_filter_of(backbone)(weights, backbone), strict=False)
    except RuntimeError as error:
        raise UserError(_do_not_fit(where, error)) from error
    if found.missing_keys:
        raise UserError(
            f"{where} lacks {len(found.missing_keys)} weights of the encoder, such as {found.missing_keys[0]}; "
            "expected timm's names of model.vision.encoder, or those of Microsoft's Swin or OpenAI's CLIP"
        )
    if found.unexpected_keys:
        _LOG.warning("%s: unused %s (%d in all)", where, found.unexpected_keys[:3], len(found.unexpected_keys))


def _filter_of(backbone: nn.Module) -> Any:
    """timm's own conversion of files. Positions of another resolution are interpolated before, bilinearly as published."""
    theirs = import_module(type(backbone).__module__).checkpoint_filter_fn

    def ours(weights: dict[str, Tensor], model: nn.Module) -> Any:
        fitted = dict(weights)
        target = model.state_dict().get(_GRID)
        for name in _GRIDS_IN_FILES:
            if target is not None and name in weights and weights[name].shape[-2] != target.shape[1]:
                grid = weights[name].reshape(1, *weights[name].shape[-2:])  # (1, positions, dim)
                fitted[name] = resize_position_grid(grid, target.shape[1]).view(*weights[name].shape[:-2], *target.shape[1:])
        return theirs(fitted, model)

    return ours


def _do_not_fit(what: str, error: RuntimeError) -> str:
    return f"{what} do not fit the sizes of model.vision: {str(error).strip().splitlines()[-1].strip()}"
