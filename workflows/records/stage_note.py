"""Writes what the page of a stage's run in MLflow opens with: figures beside their baselines, and the trials of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cosa.tasks.all_tasks import label_of
from workflows.planning.step import Step
from workflows.records.final_table import rows_of
from workflows.records.headline import main_metrics
from workflows.records.intervals import INTERVALS, interval_text
from workflows.records.markdown_table import LONGEST_NOTE, number, table_head, table_row
from workflows.results.manifest import Manifest
from workflows.spec.stage_kinds import kind_of

ROOM = 500  # characters that are left for the link to the comparison of the trials


def stage_note(step: Step, manifest: Manifest) -> str:
    """Write figures and trials in Markdown, the best trial first, because MLflow shows a few lines; nothing without either."""
    parts = [_best_trial(manifest), _figures(step, manifest), _trials(step, manifest)]
    return "\n".join(part for part in parts if part)


def _figures(step: Step, manifest: Manifest) -> str:
    """Write the metrics of an evaluation, or the main ones of a training, beside what they are compared with."""
    kind = kind_of(step.section)
    if kind.lineage(step.section) is None:
        return ""  # It neither trains a model nor uses one.
    names = [row["metric"] for row in rows_of(step, manifest)] or list(main_metrics(step.kind, manifest.metrics))
    if not names:
        return ""
    measured, published = kind.measured_on(step.section), kind.published(step.section) or {}
    has_baselines = any(name in manifest.baselines or name in manifest.baseline_names for name in names)
    intervals = manifest.details.get(INTERVALS, {})
    titles = [f"on {'/'.join(measured)}" if measured is not None else "metric", "value"]
    titles += ["95 % interval"] if intervals else []
    titles += [*(["baseline"] if has_baselines else []), *(["published"] if published else [])]
    text = table_head(titles)
    for name in names:
        cells = [label_of(name), _value(name, manifest.metrics[name])]
        cells += [interval_text(intervals.get(name))] if intervals else []
        if has_baselines:
            cells.append(f"{number(manifest.baselines.get(name))} {manifest.baseline_names.get(name, '')}".strip())
        text += table_row(*cells, *([number(published.get(name))] if published else []))
    return text


def _value(name: str, value: float) -> str:
    return number(value) if label_of(name) != name else f"{value:.4g}"  # A loss has more digits than a percentage.


def _best_trial(manifest: Manifest) -> str:
    rows: Sequence[Mapping[str, Any]] = manifest.details.get("trials", ())
    return f"The best trial is **{rows[0]['trial']}**.\n" if rows else ""


def _trials(step: Step, manifest: Manifest) -> str:
    """Write the table of a sweep's trials, the best one first. Those that do not fit are left out, and a line says how many."""
    rows: Sequence[Mapping[str, Any]] = manifest.details.get("trials", ())
    metric = manifest.details.get("selected_by")
    if not rows or metric is None:
        return ""
    fields = list(kind_of(step.section).swept(step.section))
    titles = ("trial", *fields, label_of(metric), "at step", "state")
    text = table_head(titles)
    for done, row in enumerate(rows):
        reached = ("", "") if metric not in row else (_value(metric, row[metric]), f"{row['step']} of {row['steps']}")
        line = table_row(str(row["trial"]), *(str(row.get(name)) for name in fields), *reached, str(row["state"]))
        if len(text) + len(line) > LONGEST_NOTE / 2 - ROOM:
            return f"{text}\n{len(rows) - done} more trials are left out; trials.csv among the artifacts has them.\n"
        text += line
    return text
