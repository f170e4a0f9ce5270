"""Chooses what the page of an experiment in MLflow shows of an invocation: main figures, columns, and what to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workflows.planning.plan import Plan
from workflows.planning.step import Step
from workflows.records.final_table import rows_of
from workflows.records.headline import main_metrics
from workflows.records.run_table import StageRow
from workflows.records.tracking import INVOCATION, STAGE_KIND, SWEEP, TRIAL
from workflows.records.ui_pages import COMPARISON_VIEW, VARIANTS_VIEW, Comparison
from workflows.results.manifest import Manifest
from workflows.spec.stage_kinds import kind_of

DIGITS = 4  # A table of runs shows all digits of a number. The stage's own run has them, too.


def comparison_of_trials(step: Step) -> Comparison | None:
    """Return the comparison of the trials of a stage's sweep, without the run that they are below; None if it has no sweep."""
    kind = kind_of(step.section)
    metric, fields = kind.selection_metric(step.section), kind.swept(step.section)
    if metric is None or not fields:
        return None
    return Comparison(
        f"Trials of {step.name}",
        f"{COMPARISON_VIEW}-{step.name}",
        f"tags.`mlflow.parentRunId` = '{{run}}' AND tags.`{STAGE_KIND}` = '{TRIAL}'",
        finals=(f"final/{metric.name}",),
        curves=(f"validation/{metric.name}", "train/loss"),
        fields=tuple(fields),
        order=f"final/{metric.name}",
        ascending=metric.lower_is_better,
    )


class Overview:
    """What came out of the stages of an invocation so far.

    has_earlier: the experiment has had invocations before. sweep: what the variants of a `--sweep` share, if it is one of them.
    """

    def __init__(self, plan: Plan, has_earlier: bool, sweep: str = ""):
        self.plan, self.has_earlier, self.sweep = plan, has_earlier, sweep
        self._results: dict[str, list[dict[str, Any]]] = {}
        self._mains: dict[str, list[str]] = {}

    def add(self, step: Step, manifest: Manifest) -> dict[str, float]:
        """Take in the result of a stage; return the figures of it that the run of the invocation shows."""
        mains, rows = main_metrics(step.kind, manifest.metrics), rows_of(step, manifest)
        self._results[step.name] = rows
        if kind_of(step.section).lineage(step.section) is None:
            return {}  # It neither trains a model nor uses one.
        self._mains[step.name] = [f"{step.name}/{name}" for name in mains]
        shown = {**mains, **{row["metric"]: row["value"] for row in rows}}
        return {f"{step.name}/{name}": float(f"{value:.{DIGITS}g}") for name, value in shown.items()}

    @property
    def results(self) -> list[dict[str, Any]]:
        """Return the rows of the table of results."""
        return [row for step in self.plan.steps for row in self._results.get(step.name, ())]

    @property
    def columns(self) -> list[str]:
        """Return the metrics of invocations that a table shows: the main ones, those of evaluations before the others."""
        stages = sorted(self._mains, key=lambda stage: not self._results[stage])
        return [name for stage in stages for name in self._mains[stage]]

    @property
    def is_whole(self) -> bool:
        """Return whether all stages of the spec have shown their results, so that no column is missing."""
        return all(step.name in self._results for step in self.plan.steps)

    def comparison(self, rows: Mapping[str, StageRow]) -> Comparison | None:
        """Return what a person would compare.

        That is the variants of a `--sweep`; or else the trials of the last sweep that ran; or else the invocations that came to
        their end; or else, if there is one only, the trials of a sweep that this experiment ran before.

        Args:
            rows: of the table of stages, by stage.
        """
        ran_now = {name for name, row in rows.items() if row.became == "run"}
        columns = tuple(sorted(self.columns, key=lambda column: column.rpartition("/")[0] not in ran_now))
        if self.sweep and columns:
            search = f"tags.`{SWEEP}` = '{self.sweep}'"
            return Comparison("Variants", VARIANTS_VIEW, search, finals=columns)
        ran = self._trials(rows, "run")
        if ran is not None:
            return ran
        if self.has_earlier and columns:
            search = f"tags.`{STAGE_KIND}` = '{INVOCATION}' AND attributes.status = 'FINISHED'"
            return Comparison(f"Runs of {self.plan.experiment.name}", COMPARISON_VIEW, search, finals=columns)
        return self._trials(rows, "reused")

    def _trials(self, rows: Mapping[str, StageRow], became: str) -> Comparison | None:
        """Return the comparison of the trials of the last sweep that has become `became`; None if there is none."""
        for step in reversed(self.plan.steps):
            row = rows.get(step.name)
            if row is not None and row.became == became and self._is_own(step):
                found = comparison_of_trials(step)
                if found is not None:
                    return replace(found, filtered_by=row.local_run or row.known_run)
        return None

    def _is_own(self, step: Step) -> bool:
        """Return whether a result is one of this experiment: MLflow's page of it shows no runs of others."""
        return self.plan.result_of(step.name).is_relative_to(self.plan.storage.folder)
