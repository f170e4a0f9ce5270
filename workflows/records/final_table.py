"""Puts metrics of all evaluations together, for the table with which a run ends."""

from __future__ import annotations

from typing import Any

from cosa.tasks.all_tasks import all_metrics
from workflows.planning.plan import Plan
from workflows.results.manifest import read_manifest
from workflows.spec.stage_kinds import kind_of


def result_rows(plan: Plan) -> list[dict[str, Any]]:
    """Return the rows of the final table: metrics of all evaluation stages beside baselines and published numbers."""
    labelled = [metric.name for metric in all_metrics() if metric.label is not None]
    rows = []
    for step in plan.steps:
        published = kind_of(step.section).published(step.section)
        if published is None or step.fingerprint is None or step.name not in plan.selected:
            continue
        manifest = read_manifest(plan.result_of(step.name))
        shown = [name for name in (manifest.metrics if manifest else {}) if name.rpartition("/")[2] in labelled]
        for name in sorted(shown, key=lambda name: labelled.index(name.rpartition("/")[2])):
            assert manifest is not None
            value = manifest.metrics[name]
            rows.append(
                {
                    "stage": step.name,
                    "metric": name,
                    "value": value,
                    "baseline": manifest.baselines.get(name),
                    "baseline_name": manifest.baseline_names.get(name),
                    "published": published.get(name),
                }
            )
    return rows
