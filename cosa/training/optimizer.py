"""Parameter groups, AdamW and the learning-rate schedule."""

import math
from typing import Literal

import torch
from torch import nn

from cosa.behaviour import DEFAULT, Behaviour
from cosa.checkpoints.published_names import published_name
from cosa.model import COSA
from cosa.training.published_adamw import PublishedAdamW
from cosa.training.training_settings import OptimizerSettings

_NOT_DECAYED = ("frame_embedding", "position_embeddings.weight", "pos_embed", "bias_table", "cls_token", "reg_token", "latent")
_NOT_DECAYED_BY_NAME = ("bias", "LayerNorm.weight", "LayerNorm.bias")  # parts of published names


def build_optimizer(model: COSA, settings: OptimizerSettings, behaviour: Behaviour = DEFAULT) -> torch.optim.Optimizer:
    """AdamW over the parameters that need gradients, in groups by learning rate and weight decay.

    No decay on anything that is not a matrix (biases, norms, temperature), nor on learned positions; under the published
    behaviour by published names, which the heads of our own objectives do not have. Each group remembers its peak as
    `peak_learning_rate`.
    """
    rates = _peak_rates(model, settings)
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = _part_of(name, settings), _is_decayed(name, parameter, model, behaviour)
            groups.setdefault(key, []).append(parameter)
    made = [
        {
            "params": parameters,
            "lr": rates[part],
            "peak_learning_rate": rates[part],
            "weight_decay": settings.weight_decay if decayed else 0.0,
        }
        for (part, decayed), parameters in groups.items()
    ]
    if behaviour.uncorrected_decay:
        return PublishedAdamW(made, betas=settings.betas, eps=settings.epsilon)
    return torch.optim.AdamW(made, betas=settings.betas, eps=settings.epsilon, fused=True)


def _part_of(name: str, settings: OptimizerSettings) -> str:
    if name.startswith(settings.new_parameters):
        return "new"
    return "vision" if name.startswith("vision.") else "other"


def _peak_rates(model: COSA, settings: OptimizerSettings) -> dict[str, float]:
    """Peak learning rate of each part of the model."""
    of_weights = model.config.vision.learning_rate_of_weights
    return {
        "vision": settings.vision_learning_rate or of_weights or settings.learning_rate,
        "new": settings.new_learning_rate or settings.learning_rate,
        "other": settings.learning_rate,
    }


def _is_decayed(name: str, parameter: nn.Parameter, model: COSA, behaviour: Behaviour) -> bool:
    if behaviour.decay_by_name and not name.startswith("heads."):
        published = published_name(name, model.config.vision.family)
        return not any(part in published for part in _NOT_DECAYED_BY_NAME)
    return parameter.dim() >= 2 and not name.endswith(_NOT_DECAYED)


def schedule(
    progress: float,
    warmup_ratio: float,
    shape: Literal["linear", "cosine"] = "linear",
    behaviour: Behaviour = DEFAULT,
) -> float:
    """Share of the peak learning rate at `progress` (0 to 1) of the run: linear up, then down to 0."""
    if progress < warmup_ratio:
        return progress / warmup_ratio
    after = (progress - warmup_ratio) / (1.0 - warmup_ratio)  # 0 to 1 behind the warm-up
    if shape == "linear":
        return max(0.0, 1.0 - after)
    return 0.5 * (1.0 + math.cos(math.pi * (progress if behaviour.cosine_ignores_warmup else after)))


def set_learning_rate(
    optimizer: torch.optim.Optimizer,
    step: int,
    total_steps: int,
    settings: OptimizerSettings,
    behaviour: Behaviour = DEFAULT,
) -> float:
    """Set every group's rate for step `step` (from 0) and return the share of the peak; the first step is already above 0.

    The last step is above 0 too, unless published behaviour is asked for.
    """
    progress = (step + 1) / (total_steps if behaviour.rate_ends_at_zero else total_steps + 1)
    share = schedule(progress, settings.warmup_ratio, settings.schedule, behaviour)
    for group in optimizer.param_groups:
        group["lr"] = group["peak_learning_rate"] * share
    return share
