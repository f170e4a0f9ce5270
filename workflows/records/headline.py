"""Picks the metrics that say most about a result."""

from __future__ import annotations

from collections.abc import Mapping

from cosa.tasks.all_tasks import TASKS
from workflows.spec.stage_kinds import STAGE_KINDS


def headline(kind: str, metrics: Mapping[str, float]) -> str:
    """Return main metrics of tasks with their values; where there is none, those that the kind of the stage names itself."""
    mains = {task.main_metric for task in TASKS.values()}
    found = [f"{name} {value:.1f}" for name, value in metrics.items() if name.rpartition("/")[2] in mains]
    own = STAGE_KINDS[kind].headline if kind in STAGE_KINDS else ()
    return ", ".join(found or [f"{name} {metrics[name]:.4g}" for name in own if name in metrics])
