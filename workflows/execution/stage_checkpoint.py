"""Finds the checkpoint that a training stage leaves, and decides which further checkpoints MLflow should have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflows.execution.context import StageContext
from workflows.execution.progress import Record
from workflows.results.layout import CHECKPOINT_FOLDER
from workflows.spec.references import is_path


def checkpoint_folder(context: StageContext[Any], reference: str | None) -> str | None:
    """Return the folder of the checkpoint that a stage name or path stands for."""
    if reference is None:
        return None
    if is_path(reference):
        return str(Path(reference).expanduser().absolute())
    return str(context.result_of(reference) / CHECKPOINT_FOLDER)


def uploaded_checkpoints(context: StageContext[Any]) -> str:
    """Return which checkpoints MLflow should have: see `TrackingSection`."""
    return context.plan.experiment.section.tracking.checkpoints


def further_steps(records: list[Record], which: str, best: int) -> set[int]:
    """Return the steps whose checkpoints MLflow should have besides the best one."""
    evaluated = {record.step for record in records if record.kind == "evaluation"}
    wanted = {"last": {max(evaluated)}, "all": evaluated}.get(which, set())
    return wanted - {best}
