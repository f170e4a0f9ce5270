"""Puts metrics of all evaluations together, for the table with which a run ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cosa.tasks.all_tasks import all_metrics
from workflows.planning.plan import Plan
from workflows.planning.step import Step
from workflows.records.intervals import INTERVALS
from workflows.results.manifest import Manifest, read_manifest
from workflows.spec.stage_kinds import kind_of


def result_rows(plan: Plan) -> list[dict[str, Any]]:
    """Return the rows of the final table: metrics of all evaluation stages beside baselines and published numbers."""
    rows = []
    for step in plan.steps:
        if step.fingerprint is not None and step.name in plan.selected and _is_shown(step):
            manifest = read_manifest(plan.result_of(step.name))
            rows += rows_of(step, manifest) if manifest is not None else []
    return rows


def rows_of(step: Step, manifest: Manifest) -> list[dict[str, Any]]:
    """Return the rows of one stage; none if it evaluates nothing."""
    if not _is_shown(step):
        return []
    published = kind_of(step.section).published(step.section) or {}
    on, amount = kind_of(step.section).measured_on(step.section), manifest.details.get("measured")
    measured = ": ".join(filter(None, ("/".join(on or ()), amount))) if amount else ""
    labelled = [metric.name for metric in all_metrics() if metric.label is not None]
    shown = [name for name in manifest.metrics if name.rpartition("/")[2] in labelled]
    return [
        {
            "stage": step.name,
            "metric": name,
            "value": manifest.metrics[name],
            "interval": manifest.details.get(INTERVALS, {}).get(name),
            "baseline": manifest.baselines.get(name),
            "baseline_name": manifest.baseline_names.get(name),
            "published": published.get(name),
            "measured": measured,
        }
        for name in sorted(shown, key=lambda name: labelled.index(name.rpartition("/")[2]))
    ]


def measured_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return lines that say on what stages were measured. rows: of the table."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.get("measured") and row["stage"] not in found.setdefault(row["measured"], []):
            found[row["measured"]].append(row["stage"])
    return [f"{', '.join(stages)} on {measured}" for measured, stages in found.items()]


def _is_shown(step: Step) -> bool:
    return kind_of(step.section).published(step.section) is not None
