"""The checkpoint that a training stage leaves: where it is, which metric selects it, and which others MLflow should have."""

from __future__ import annotations

from pathlib import Path

from workflows.spec.graph import is_path
from workflows.spec.metrics import main_metric
from workflows.spec.sections import FinetuneSection, TrainSection
from workflows.stages.context import StageContext
from workflows.training.progress import Record

CHECKPOINT_FOLDER = "checkpoint"


def checkpoint_folder(context: StageContext, reference: str | None) -> str | None:
    """Return the folder of the checkpoint that a stage name or path stands for."""
    if reference is None:
        return None
    if is_path(reference):
        return str(Path(reference).expanduser().absolute())
    return str(context.result_of(reference) / CHECKPOINT_FOLDER)


def selection_metric(context: StageContext) -> str | None:
    """Return the metric that selects the checkpoint; with None, the last is selected."""
    section: TrainSection = context.section
    if section.sweep is not None:
        return section.sweep.metric or main_metric(section)
    if not isinstance(section, FinetuneSection) or section.validation_split is None:
        return None
    return main_metric(section)


def uploaded_checkpoints(context: StageContext) -> str:
    """Return which checkpoints MLflow should have: best, last, all or none."""
    return context.plan.experiment.section.tracking.checkpoints


def further_steps(records: list[Record], which: str, best: int) -> set[int]:
    """Return steps whose checkpoints MLflow should have besides the best one."""
    evaluated = {record.step for record in records if record.kind == "evaluation"}
    wanted = {"last": {max(evaluated)}, "all": evaluated}.get(which, set())
    return wanted - {best}
