"""Checks the image encoders of a spec, and the sizes of the images that its stages give them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cosa.checkpoints.locate import NATIVE_CONFIG, NativeFolder, locate
from cosa.encoders.vision_checks import encoder_names, indivisible, patch_of, unknown_encoder
from cosa.encoders.vision_config import VisionConfig
from workflows.spec.experiment import Experiment
from workflows.spec.references import is_path
from workflows.spec.stage_kind import Report
from workflows.spec.stage_kinds import kind_of


def check_images(experiment: Experiment, report: Report) -> None:
    """Report an encoder that does not exist, and images that cannot be split into its patches, each once."""
    reported: set[str] = set()  # An evaluation inherits the size of its training.

    def check(resolution: int, vision: VisionConfig, *path: str) -> None:
        patch = patch_of(vision)
        problem = indivisible(resolution, patch, vision.encoder) if patch is not None else None
        if problem is not None and problem not in reported:
            reported.add(problem)
            report(problem, *path)

    if any(kind_of(stage).builds_model(stage) for stage in experiment.stages.values()):
        vision = experiment.section.model.vision
        unknown = unknown_encoder(vision, encoder_names())
        if unknown is not None:
            report(unknown, "model", "vision", "encoder")
            return
        check(vision.resolution, vision, "model", "vision", "resolution")
    for name, stage in experiment.stages.items():
        own = _encoder_of(name, experiment)
        for field, resolution in _resolutions(stage):
            if own is not None:
                check(resolution, own, "stages", name, field)


def _resolutions(stage: object) -> Iterator[tuple[str, int]]:
    """Yield the sizes of images that a stage itself gives, and the field in which it does."""
    own, sweep = getattr(stage, "resolution", None), getattr(stage, "sweep", None)
    if isinstance(own, int):
        yield "resolution", own
    swept = sweep.fields.get("resolution") if sweep is not None else None
    for value in swept if isinstance(swept, tuple) else ():
        if isinstance(value, int):
            yield "sweep", value


def _encoder_of(name: str, experiment: Experiment) -> VisionConfig | None:
    """Return the image encoder of the model that a stage trains or evaluates; None if nobody can say."""
    seen: set[str] = set()
    reference: str | None = name
    while reference is not None and reference not in seen:
        seen.add(reference)
        if is_path(reference):
            return _encoder_in(Path(reference).expanduser())
        stage = experiment.stages.get(reference)
        lineage = kind_of(stage).lineage(stage) if stage is not None else None
        if lineage is None:
            return None
        reference = lineage.starts_from
    return experiment.section.model.vision if reference is None else None


def _encoder_in(path: Path) -> VisionConfig | None:
    found = locate(path)
    if isinstance(found, NativeFolder):
        with suppress(OSError, ValueError, LookupError, TypeError):  # What is wrong with it is said where it is loaded.
            config = json.loads((found.folder / NATIVE_CONFIG).read_text(encoding="utf-8"))
            return VisionConfig.model_validate(config["vision"])
    return None
