"""Compares metrics: the best of each, 95 % intervals, paired tests on the same samples, baselines and published numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cosa.evaluation.metric import Metric
from cosa.tasks.all_tasks import all_metrics, label_of
from workflows.reports.compared import Cell, Column
from workflows.reports.sample_scores import (
    Interval,
    PairedDifference,
    has_scores,
    interval_of,
    paired_difference,
    samples_of,
)
from workflows.spec.stage_kinds import kind_of, recorded_section

OF_TRAINING = {"final_loss": Metric("final_loss", lower_is_better=True, digits=3)}  # No task knows it.
CHANCE = 0.05  # A difference that is so likely by chance is none.
LOSS = "loss"  # how the names of others end that are better if they are lower


@dataclass(frozen=True)
class MetricRow:
    """A metric in all columns. best: which values are the best; empty where nobody can say, or all are equal. baseline: what is
    reached without looking at the clips, where all columns that have one agree. published: the paper's number."""

    name: str
    metric: Metric | None
    values: tuple[float | None, ...]
    best: frozenset[int]
    intervals: tuple[Interval | None, ...]
    baseline: float | None
    published: float | None

    @property
    def label(self) -> str:
        """Return what people call it."""
        return label_of(self.name)

    def text(self, value: float | None) -> str:
        """Write a value."""
        if value is None:
            return ""
        return self.metric.format(value) if self.metric is not None else f"{value:.4g}"


@dataclass(frozen=True)
class PairedRow:
    """A paired test of a metric: a column against the first one."""

    name: str
    metric: Metric | None
    column: int
    found: PairedDifference

    @property
    def label(self) -> str:
        """Return what people call the metric."""
        return label_of(self.name)

    @property
    def is_better(self) -> bool | None:
        """Return whether the column is better than the first one; None if that may be chance, or nobody can say."""
        if self.metric is None or self.found.p >= CHANCE:
            return None
        return (self.found.difference < 0) == self.metric.lower_is_better


def metric_named(name: str) -> Metric | None:
    """Return what is known of a metric by its name, with or without its task; None if nothing is."""
    own = name.rpartition("/")[2]
    known = next((metric for metric in all_metrics() if metric.name == own), OF_TRAINING.get(own))
    return known or (Metric(own, lower_is_better=True, digits=3) if own.endswith(LOSS) else None)


def metric_rows(cells: Sequence[Cell | None]) -> list[MetricRow]:
    """Return all metrics of stages, those that people look at first."""
    found = [cell.manifest.metrics if cell is not None and cell.manifest is not None else {} for cell in cells]
    names = dict.fromkeys(name for metrics in found for name in metrics)
    order = {metric.name: place for place, metric in enumerate(sorted(all_metrics(), key=lambda metric: metric.label is None))}
    rows = [_row(name, cells, [metrics.get(name) for metrics in found]) for name in names]
    return sorted(rows, key=lambda row: order.get(row.name.rpartition("/")[2], len(order)))


def _row(name: str, cells: Sequence[Cell | None], values: Sequence[float | None]) -> MetricRow:
    metric = metric_named(name)
    intervals = [interval_of(cell.result, name) if cell is not None and cell.result is not None else None for cell in cells]
    manifests = [cell.manifest for cell in cells if cell is not None and cell.manifest is not None]
    baselines = {manifest.baselines[name] for manifest in manifests if name in manifest.baselines}
    published = {value for cell in cells if cell is not None and (value := _published(cell).get(name)) is not None}
    return MetricRow(
        name,
        metric,
        tuple(values),
        _best(metric, values),
        tuple(intervals),
        baselines.pop() if len(baselines) == 1 else None,
        published.pop() if len(published) == 1 else None,
    )


def _published(cell: Cell) -> Mapping[str, float]:
    """Return the published metrics that a stage's section has."""
    if cell.step is not None:
        return kind_of(cell.step.section).published(cell.step.section) or {}
    section = recorded_section(cell.manifest.kind, cell.manifest.section) if cell.manifest is not None else None
    return kind_of(section).published(section) or {} if section is not None else {}


def _best(metric: Metric | None, values: Sequence[float | None]) -> frozenset[int]:
    """Return the places of the best values; none where only one column has the metric, or all have the same value."""
    known = {place: value for place, value in enumerate(values) if value is not None and math.isfinite(value)}
    if metric is None or len(set(known.values())) < 2:
        return frozenset()
    best = (min if metric.lower_is_better else max)(known.values())
    return frozenset(place for place, value in known.items() if value == best)


def paired_rows(cells: Sequence[Cell | None]) -> list[PairedRow]:
    """Return the tests of every further column against the first one, for all metrics whose samples tell."""
    first = cells[0].result if cells[0] is not None else None
    rows = []
    for place, cell in enumerate(cells):
        if place == 0 or first is None or cell is None or cell.result is None:
            continue
        for row in metric_rows((cells[0], cell)):
            found = paired_difference(first, cell.result, row.name)
            if found is not None:
                rows.append(PairedRow(row.name, row.metric, place, found))
    return rows


def missing_scores(cells: Sequence[Cell | None], columns: Sequence[Column]) -> list[str]:
    """Return sentences about why there are no intervals or tests, where a person would expect them."""
    lacking = [
        (cell.stage, column.label)
        for cell, column in zip(cells, columns, strict=True)
        if cell is not None and cell.result is not None and _is_measured(cell) and not has_scores(cell.result)
    ]
    if not lacking:
        return _other_samples(cells, columns)
    stages, labels = (" and ".join(dict.fromkeys(names)) for names in zip(*lacking, strict=True))
    line = (
        f"no intervals and no test for {labels}: an older version made the results, without scores of single samples; "
        f"--force {stages.replace(' and ', ' --force ')} makes them again"
    )
    return [line, *_other_samples(cells, columns)]


def _is_measured(cell: Cell) -> bool:
    """Return whether a stage evaluates, so that it has scores of samples."""
    return cell.manifest is not None and any(name.startswith("predictions_") for name in cell.manifest.outputs)


def _other_samples(cells: Sequence[Cell | None], columns: Sequence[Column]) -> list[str]:
    first = samples_of(cells[0].result) if cells[0] is not None and cells[0].result is not None else {}
    lines = []
    for cell, column in zip(cells[1:], columns[1:], strict=True):
        found = samples_of(cell.result) if cell is not None and cell.result is not None else {}
        if first and found and first.keys() != found.keys():
            both = len(first.keys() & found.keys())
            lines.append(
                f"{columns[0].label} has {len(first)} samples and {column.label} has {len(found)}; "
                + (f"tests use the {both} that both have" if both else "none is in both, so that there is no test")
            )
    return lines
