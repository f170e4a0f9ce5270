"""Import of COSA's published checkpoints: a flat state dict with the names of the published code.

Every key of the file is used, or named as unused with the reason; everything that our model has must come from the file.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cosa.checkpoints.finite_weights import expect_finite
from cosa.checkpoints.locate import PublishedFiles
from cosa.checkpoints.published_names import TIED, ImportReport, published_names, reason_unused
from cosa.checkpoints.published_options import PublishedOptions
from cosa.checkpoints.published_sizes import config_of
from cosa.checkpoints.unset_weights import UnsetWeights
from cosa.checkpoints.weight_files import read_weights
from cosa.encoders.positions import fit_positions
from cosa.encoders.published_vision import expect_all
from cosa.errors import UserError
from cosa.model import COSA

_FRAME_EMBEDDING = "video_frame_embedding"  # published as (1, frames, hidden)


def import_published(
    files: PublishedFiles,
    *,
    resolution: int | None = None,
    frame_positions: int | None = None,
    text_heads: int | None = None,
    vision_heads: int | None = None,
) -> tuple[COSA, ImportReport]:
    """Build the model of a published checkpoint, on the CPU.

    Args:
        files: the file of weights, and the published options beside it if there are any.
        resolution: side of the input image, pixels; left out: that of the file. Positions are interpolated to it.
        frame_positions: number of frame embeddings; left out: as many as the file has, else the nearest ones.
        text_heads: attention heads of BERT, which no shape tells; needed for sizes other than base and large, unless the
            options hold `num_attention_heads`.
        vision_heads: attention heads of a CLIP encoder, if they are not 64 wide.

    Raises:
        UserError: the file is no published checkpoint, lacks weights, or its sizes have to be given.
    """
    weights = read_weights(files.weights)
    options = PublishedOptions.read(files)
    config = config_of(
        weights,
        files.weights,
        text_heads=text_heads or options.number("num_attention_heads"),
        vision_heads=vision_heads,
        resolution=options.number("video_resolution") or resolution,
    )
    options.check_encoder(config)
    vision = config.vision.model_copy(update={"resolution": resolution or config.vision.resolution})
    config = config.model_copy(update={"vision": vision, "frame_positions": frame_positions or config.frame_positions})
    with UnsetWeights():
        model = COSA(config)
    return model, load_published(model, weights, files.weights)


def load_published(model: COSA, weights: Mapping[str, Tensor], path: Path) -> ImportReport:
    """Copy a published state dict into a model of the same sizes.

    Args:
        model: the model; its positions may differ from the file's.
        weights: by published name.
        path: of the file, for messages.

    Raises:
        UserError: a key is missing, has another shape, is NaN or infinite, or tied weights differ.
    """
    family = model.config.vision.family
    names = published_names(model.state_dict(), family)
    _check_tied(weights, path)
    found = {ours: name if name in weights else TIED.get(name, name) for ours, name in names.items()}
    expect_all([name for name in found.values() if name not in weights], path, "all weights of a published COSA model")
    values = {ours: _shaped(weights[name], name, model.state_dict()[ours]) for ours, name in found.items()}
    expect_finite({found[ours]: value for ours, value in values.items()}, path.resolve())
    adapted = fit_positions(model.state_dict(), values)
    _check_shapes(model, values, found, path)
    missing, unexpected = model.load_state_dict(values, strict=False)
    assert set(missing) <= set(model.state_dict()) - set(names), missing
    assert not unexpected, unexpected
    used = {name: ours for ours, name in found.items()}
    unused = {key: reason_unused(key, family) for key in weights if key not in used}
    return ImportReport(str(path), used, unused, tuple(adapted))


def _check_tied(weights: Mapping[str, Tensor], path: Path) -> None:
    """Both names of a tied weight must hold the same values."""
    for name, other in TIED.items():
        if name in weights and other in weights and not torch.equal(weights[name], weights[other]):
            raise UserError(
                f"{path.resolve()}: {name} and {other} differ; they are one tensor in COSA. The file is damaged or belongs to "
                "another model"
            )


def _shaped(value: Tensor, name: str, target: Tensor) -> Tensor:
    """Without or with the unit dimensions that timm and the published code put differently."""
    if name == _FRAME_EMBEDDING:
        return value[0] if value.dim() == 3 else value
    while value.dim() < target.dim():
        value = value[None]
    return value


def _check_shapes(model: COSA, values: Mapping[str, Tensor], found: Mapping[str, str], path: Path) -> None:
    for ours, target in model.state_dict().items():
        if ours in values and values[ours].shape != target.shape:
            raise UserError(
                f"{path.resolve()}: {found[ours]} has shape {tuple(values[ours].shape)}; expected {tuple(target.shape)}. The "
                "file's sizes do not belong together"
            )
