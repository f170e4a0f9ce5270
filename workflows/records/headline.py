"""Picks the metrics that say most about a result."""

from __future__ import annotations

from collections.abc import Mapping

from cosa.tasks.all_tasks import TASKS, label_of
from workflows.spec.stage_kinds import STAGE_KINDS


def main_metrics(kind: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return main metrics of tasks; where there is none, those that the kind of the stage names itself."""
    mains = {task.main_metric for task in TASKS.values()}
    found = {name: value for name, value in metrics.items() if name.rpartition("/")[2] in mains}
    own = STAGE_KINDS[kind].headline if kind in STAGE_KINDS else ()
    return found or {name: metrics[name] for name in own if name in metrics}


def headline(kind: str, metrics: Mapping[str, float], measured_on: tuple[str, str] | None = None) -> str:
    """Return the main metrics of a stage with their values, in one line. measured_on: dataset and split, if it is known."""
    mains = {task.main_metric for task in TASKS.values()}
    found = main_metrics(kind, metrics)
    is_of_task = any(name.rpartition("/")[2] in mains for name in found)
    text = ", ".join(
        f"{label_of(name)} {value:.1f}" if name.rpartition("/")[2] in mains else f"{name} {value:.4g}"
        for name, value in found.items()
    )
    return f"{text} on {measured_on[1]}" if is_of_task and measured_on is not None else text
