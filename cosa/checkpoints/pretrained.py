"""Pretrained weights of the encoders: from the hubs of timm and transformers, or from local files."""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cosa.checkpoints.finite_weights import expect_finite
from cosa.checkpoints.hub import quick_hub
from cosa.checkpoints.published_names import UNKNOWN, ImportReport
from cosa.checkpoints.weight_files import read_weights
from cosa.encoders.positions import fit_positions, positions_before_grids, resize_position_grid
from cosa.encoders.published_vision import PublishedVision, expect_all
from cosa.encoders.text import MultimodalEncoder
from cosa.encoders.vision import VisionEncoder
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError
from cosa.model import COSA

_LOG = logging.getLogger(__name__)

_GRID = "pos_embed"  # timm's name of learned positions
_GRIDS_IN_FILES = (_GRID, "visual.positional_embedding", "visual.trunk.pos_embed")
# Names of transformers' sizes and of ours. Another number of heads would fit the weights and yet be another model.
_SIZES = {
    name: name
    for name in (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings",
    )
} | {"vocab_size": "vocabulary_size"}  # fmt: skip


def load_pretrained(model: COSA) -> None:
    """Load what `model.config` names as `pretrained`, into either encoder; the rest of the model stays as it is.

    Raises:
        UserError: weights are out of reach, damaged, or of other sizes.
    """
    load_vision(model.vision)
    load_text(model.multimodal)


def load_vision(encoder: VisionEncoder) -> None:
    """The image encoder's part of `load_pretrained`."""
    config = encoder.config
    if config.pretrained is True:
        _load_from_hub(encoder.backbone, config.encoder)
    elif isinstance(config.pretrained, str):
        _load_backbone_file(encoder.backbone, config, Path(config.pretrained))
        expect_finite(encoder.backbone.state_dict(), Path(config.pretrained).resolve())


def load_text(encoder: MultimodalEncoder) -> None:
    """The text encoder's part of `load_pretrained`, through transformers; cross-attention, which BERT lacks, stays random."""
    config = encoder.config
    if config.pretrained is False:
        return
    from transformers import BertForMaskedLM

    source = config.encoder if config.pretrained is True else config.pretrained
    with quick_hub() if config.pretrained is True else nullcontext("no such folder of weights") as how:
        try:
            loaded = BertForMaskedLM.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise UserError(
                f"model.text.pretrained: BERT weights could not be loaded from {source!r} ({how}: {type(error).__name__}); "
                "give the folder of a downloaded model, or false for random weights"
            ) from error
    for theirs, ours in _SIZES.items():
        found, expected = getattr(loaded.config, theirs), getattr(config, ours)
        if found != expected:
            raise UserError(f"model.text.{ours}: {source!r} has {found}, the spec says {expected}; give {found}")
    missing, unexpected = encoder.bert.load_state_dict(
        {k: v for k, v in loaded.bert.state_dict().items() if not k.startswith("pooler.")}, strict=False
    )
    missing = [key for key in missing if "crossattention" not in key]
    if missing or unexpected:
        raise UserError(f"model.text.pretrained: {source!r} lacks {missing[:3]} and has unknown {unexpected[:3]}")
    head = {k: v for k, v in loaded.cls.state_dict().items() if ".decoder." not in k}  # which the embeddings and `bias` hold
    encoder.cls.load_state_dict(head, strict=False)


def _load_from_hub(backbone: Any, encoder: str) -> None:
    from timm.models import load_pretrained

    advice = "give the path of a downloaded file, or false for random weights"
    if not backbone.pretrained_cfg.get("hf_hub_id") and not backbone.pretrained_cfg.get("url"):
        raise UserError(f"model.vision.pretrained: timm has no weights for {encoder!r}; {advice}")
    with quick_hub() as how:
        try:
            load_pretrained(backbone, num_classes=0, filter_fn=_filter_of(backbone))
        except OSError as error:
            raise UserError(
                f"model.vision.pretrained: the weights of {encoder!r} could not be fetched from the hub "
                f"({how}: {type(error).__name__}); {advice}"
            ) from error
        except RuntimeError as error:
            raise UserError(_do_not_fit(f"model.vision.pretrained: the weights of {encoder!r}", error)) from error


def _load_backbone_file(backbone: nn.Module, config: VisionConfig, path: Path) -> None:
    """Weights from a local file, in the naming of the encoder's authors or in timm's."""
    if not path.is_file():
        raise UserError(f"model.vision.pretrained: no file {path.resolve()}")
    weights = read_weights(path)
    published = config.family.published
    if published is not None and published.holds(weights):
        _load_published(backbone, weights, published, path)
        return
    where = f"model.vision.pretrained: {path.resolve()}"
    try:
        found = backbone.load_state_dict(_filter_of(backbone)(weights, backbone), strict=False)
    except RuntimeError as error:
        raise UserError(_do_not_fit(where, error)) from error
    if found.missing_keys:
        raise UserError(
            f"{where} lacks {len(found.missing_keys)} weights of the encoder, such as {found.missing_keys[0]}; "
            f"expected timm's names of model.vision.encoder{f', or those of {published.authors}' if published else ''}"
        )
    if found.unexpected_keys:
        _LOG.warning("%s: unused %s (%d in all)", where, found.unexpected_keys[:3], len(found.unexpected_keys))


def _load_published(backbone: nn.Module, weights: Mapping[str, Tensor], files: PublishedVision, path: Path) -> None:
    """Copy the authors' weights, by their names; positions are interpolated to the encoder's resolution."""
    target = backbone.state_dict()
    names = {ours: files.name(ours) for ours in target}
    expect_all([name for name in names.values() if name not in weights], path, "all weights of model.vision.encoder")
    source = files.as_loaded(weights)
    values = {ours: source[name].reshape((1,) * (target[ours].dim() - source[name].dim()) + source[name].shape)
              for ours, name in names.items()}  # fmt: skip
    adapted = fit_positions(target, values)
    wrong = [ours for ours in values if values[ours].shape != target[ours].shape]
    if wrong:
        raise UserError(
            f"{path.resolve()}: {names[wrong[0]]} has shape {tuple(values[wrong[0]].shape)}, model.vision makes it "
            f"{tuple(target[wrong[0]].shape)}; give the file's encoder and sizes in model.vision"
        )
    backbone.load_state_dict(values)
    used = {name: ours for ours, name in names.items()}
    unused = {key: files.reason_unused(key) or UNKNOWN for key in weights if key not in used}
    _LOG.info("\n".join(ImportReport(str(path), used, unused, tuple(adapted)).lines()))


def _filter_of(backbone: nn.Module) -> Any:
    """timm's own conversion of files. Positions of another resolution are interpolated before, bilinearly as published."""
    theirs = import_module(type(backbone).__module__).checkpoint_filter_fn

    def ours(weights: dict[str, Tensor], model: nn.Module) -> Any:
        fitted = dict(weights)
        target = model.state_dict().get(_GRID)
        for name in _GRIDS_IN_FILES:
            if target is None or name not in weights:
                continue
            grid = weights[name].reshape(1, *weights[name].shape[-2:])  # (1, positions, dim)
            if grid.shape[1] != target.shape[1] and positions_before_grids(grid.shape[1], target.shape[1]) is not None:
                fitted[name] = resize_position_grid(grid, target.shape[1]).view(*weights[name].shape[:-2], *target.shape[1:])
        return theirs(fitted, model)

    return ours


def _do_not_fit(what: str, error: RuntimeError) -> str:
    return f"{what} do not fit the sizes of model.vision: {str(error).strip().splitlines()[-1].strip()}"
