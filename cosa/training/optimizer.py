"""Parameter groups, AdamW and the learning-rate schedule."""

from collections.abc import Iterable

import torch
from torch import nn

from cosa.model import COSA
from cosa.training.settings import OptimizerSettings

CLIP_LEARNING_RATE = 5e-7  # published peak learning rate of a CLIP encoder with pretrained weights

# Modules that take no part in an objective set are frozen: DDP then needs no search for unused parameters, and weight decay
# does not eat at heads that another stage trained.
_CONTRASTIVE = ("text_contrastive_head.", "video_contrastive_head.", "temperature")
_FUSION = ("projection.", "frame_embedding", "multimodal.bert.encoder.layer.")
_USED_BY = {
    "contrastive": _CONTRASTIVE,
    "matching": (*_FUSION, "matching_head."),
    "language": (*_FUSION, "multimodal.cls."),
}
_KIND_OF = {
    "itc": "contrastive", "citc": "contrastive", "itm": "matching", "citm": "matching",
    "mlm": "language", "cap": "language", "cmlm": "language", "ccap": "language", "qa": "language",
    "scst": "language",
}  # fmt: skip

_NOT_DECAYED = ("frame_embedding", "position_embeddings.weight", "pos_embed", "bias_table", "cls_token")


def freeze_unused(model: COSA, objectives: Iterable[str]) -> list[str]:
    """Turn off gradients of everything that none of the objectives reaches; returns the names."""
    kinds = {_KIND_OF[name] for name in objectives}
    used = {prefix for kind in kinds for prefix in _USED_BY[kind]}
    fused = kinds & {"matching", "language"}
    frozen = []
    for name, parameter in model.named_parameters():
        always = name.startswith(("vision.", "multimodal.bert.embeddings.")) or (
            name.startswith("multimodal.bert.encoder.layer.") and (fused or ".crossattention." not in name)
        )
        if not always and not name.startswith(tuple(used)):
            parameter.requires_grad_(False)
            frozen.append(name)
    return frozen


def differ_in_reach(objective_sets: Iterable[Iterable[str]]) -> bool:
    """Whether steps of one training run reach different parameters, so that DDP has to look for unused ones."""
    return len({frozenset(_KIND_OF[name] for name in objectives) for objectives in objective_sets}) > 1


def build_optimizer(model: COSA, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW over the parameters that need gradients, in groups by learning rate and weight decay.

    No decay on anything that is not a matrix (biases, norms, temperature), nor on learned positions. Each group remembers its
    peak as `peak_learning_rate`.
    """
    vision_rate = settings.vision_learning_rate
    if vision_rate is None:
        pretrained_clip = model.config.vision.family == "clip" and bool(model.config.vision.pretrained)
        vision_rate = CLIP_LEARNING_RATE if pretrained_clip else settings.learning_rate
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decayed = parameter.dim() >= 2 and not name.endswith(_NOT_DECAYED)
            groups.setdefault((name.startswith("vision."), decayed), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": vision_rate if is_vision else settings.learning_rate,
                "peak_learning_rate": vision_rate if is_vision else settings.learning_rate,
                "weight_decay": settings.weight_decay if decayed else 0.0,
            }
            for (is_vision, decayed), parameters in groups.items()
        ],
        betas=settings.betas,
        eps=settings.epsilon,
        fused=True,
    )


def schedule(progress: float, warmup_ratio: float) -> float:
    """Share of the peak learning rate at `progress` (0 to 1) of the run: linear up, then linearly down to 0."""
    if progress < warmup_ratio:
        return progress / warmup_ratio
    return max(0.0, (1.0 - progress) / (1.0 - warmup_ratio))


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, total_steps: int, warmup_ratio: float) -> float:
    """Set every group's rate for step `step` (from 0) and return the share of the peak; the first step is already above 0."""
    share = schedule((step + 1) / (total_steps + 1), warmup_ratio)
    for group in optimizer.param_groups:
        group["lr"] = group["peak_learning_rate"] * share
    return share
