"""Raw weights of the image encoders as their authors publish them: Microsoft's Swin and OpenAI's CLIP, without COSA around."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from cosa.checkpoints.published_names import UNKNOWN, Family, ImportReport
from cosa.checkpoints.weight_files import expect_all
from cosa.encoders import clip, swin
from cosa.encoders.positions import fit_positions
from cosa.errors import UserError


def is_published_vision(weights: Mapping[str, Tensor], family: Family) -> bool:
    """Whether keys are in the author's naming (timm's own is another)."""
    return (swin if family == "swin" else clip).is_published(weights)


def load_published_vision(backbone: nn.Module, weights: Mapping[str, Tensor], family: Family, path: Path) -> ImportReport:
    """Copy an author's weights into timm's encoder; positions are interpolated to the encoder's resolution.

    Args:
        backbone: timm's encoder without its head.
        weights: by the author's names.
        family: which author's.
        path: of the file, for messages.

    Raises:
        UserError: weights are missing or have other sizes.
    """
    prefix, rename = ("", swin.published_name) if family == "swin" else (clip.VISUAL, clip.published_name)
    target = backbone.state_dict()
    names = {ours: prefix + rename(ours) for ours in target}
    expect_all([name for name in names.values() if name not in weights], path, "all weights of model.vision.encoder")
    source = clip.rounded_to_half(weights) if family == "clip" else weights
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
    reasons = swin.UNUSED if family == "swin" else clip.UNUSED
    unused = {key: _reason(key, reasons) for key in weights if key not in used}
    return ImportReport(str(path), used, unused, tuple(adapted))


def _reason(key: str, reasons: Mapping[str, str]) -> str:
    return next((reason for pattern, reason in reasons.items() if re.search(pattern, key)), UNKNOWN)
