"""Says how the frames of datasets are taken, which a model is to see in the same way later."""

from __future__ import annotations

from typing import Any

from workflows.spec.experiment import Experiment
from workflows.spec.stage_kinds import kind_of


def extraction_trained_on(stage: str, experiment: Experiment) -> dict[str, Any] | None:
    """Return how the frames of the clips were taken that a stage trains on; see `extraction_of`."""
    lineage = kind_of(experiment.stages[stage]).lineage(experiment.stages[stage])
    splits = [] if lineage is None else [*lineage.trained_on, *filter(None, [lineage.selected_on])]
    return next((found for dataset, _ in splits if (found := extraction_of(dataset, experiment)) is not None), None)


def extraction_of(dataset: str, experiment: Experiment) -> dict[str, Any] | None:
    """Return how the frames of a dataset's clips are taken, by fields of `ExtractionSettings`.

    None where nobody knows: images, or frames of a person's own.
    """
    section, stage = experiment.section.datasets.get(dataset), experiment.frames.get(dataset)
    if section is not None and section.decode is not None:
        return section.decode.identity()
    if section is None or stage is None or section.frames is not None:
        return None
    extracting = experiment.stages[stage]
    return {name: value for name, value in kind_of(extracting).extraction(extracting).items() if name != "version"}
