"""Says what fields mean that a spec leaves out. Written or left out, the result is the same."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cosa.data.clip_settings import ClipSettings
from cosa.encoders.vision_families import family_of
from cosa.model_config import ModelConfig
from cosa.training.training_settings import OptimizerSettings
from workflows.spec.experiment import Experiment
from workflows.spec.sections import StageSection
from workflows.spec.stage_kinds import kind_of


def initial_model(section: StageSection, experiment: Experiment) -> ModelConfig | None:
    """Return the configuration of the model that a stage starts from; None if it has none, or only a checkpoint tells."""
    lineage = kind_of(section).lineage(section)
    if lineage is None:
        return None
    if lineage.starts_from is None:
        return experiment.section.model
    earlier = experiment.stages.get(lineage.starts_from)
    model = initial_model(earlier, experiment) if earlier is not None else None
    if earlier is None or model is None or "resolution" in kind_of(earlier).swept(earlier):
        return None
    resolution = getattr(earlier, "resolution", None) or model.vision.resolution
    return model.model_copy(update={"vision": model.vision.model_copy(update={"resolution": resolution})})


def without_implied(fields: Mapping[str, Any], section: StageSection, model: ModelConfig | None) -> dict[str, Any]:
    """Return fields of a stage in which those that say what holds anyway are None, as if they were left out.

    In a section of the user's own, which is not made of these settings, fields of the same names may mean something else.

    Args:
        fields: as data, maybe of an older result.
        section: of the stage. What follows from a field that its trials differ in is not implied.
        model: that the stage starts from, if it is known.
    """
    swept = kind_of(section).swept(section)
    implied: dict[str, Any] = {}
    if isinstance(section, ClipSettings):
        if "train_frames" not in swept:
            implied["eval_frames"] = fields.get("train_frames")
        if model is not None:
            implied["resolution"] = model.vision.resolution
    if isinstance(section, OptimizerSettings) and model is not None:
        of_weights = model.vision.learning_rate_of_weights
        if of_weights is not None or "learning_rate" not in swept:
            implied["vision_learning_rate"] = of_weights or fields.get("learning_rate")
    return {name: None if name in implied and value == implied[name] else value for name, value in fields.items()}


def model_with_effect(model: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what decides which new model is built. model: a section of a spec, as data; older ones may have other fields."""
    if model is None:
        return None
    vision, text = dict(model.get("vision", {})), dict(model.get("text", {}))
    with suppress(LookupError, ValueError):  # An extension that is gone may have brought the family of an older one.
        if vision["drop_path_rate"] == family_of(vision["encoder"]).stochastic_depth:
            vision["drop_path_rate"] = None
    if text.get("pretrained") is not True:
        text.pop("encoder", None)  # It is only the name of weights on the hub.
    return {**model, "vision": vision, "text": text}
