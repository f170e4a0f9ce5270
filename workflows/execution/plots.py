"""Draws the pictures of a run: loss curves and the trials of a sweep."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from cosa.tasks.all_tasks import all_metrics

mpl.use("Agg")

from matplotlib import pyplot

from workflows.execution.progress import Record

MOST_LABELS = 12  # A chart with more trials has no legend.
NOT_CURVES = ("learning_rate", "samples_per_second", "data_wait_share", "gradient_norm", "skipped_steps")


def plot_curves(records: Sequence[Record], path: Path, title: str) -> None:
    """Draw losses by step on the left and, if there are any, validation metrics (percent) on the right."""
    train = [record for record in records if record.kind == "train"]
    evaluations = [record for record in records if record.kind == "evaluation" and record.values]
    measured = _validation_names(evaluations)
    figure, axes = pyplot.subplots(1, 2 if measured else 1, figsize=(10 if measured else 6, 4), squeeze=False)
    losses = axes[0][0]
    names = list(dict.fromkeys(name for record in train for name in record.values if name not in NOT_CURVES))
    for name in names if len(names) > 2 else names[:1]:
        points = [(r.step, r.values[name]) for r in train if name in r.values]
        losses.plot(*zip(*points, strict=True), label=name.removesuffix("_loss"), linewidth=2 if name == "loss" else 1)
    losses.set(xlabel="step", ylabel="loss", title=f"{title}: losses")
    losses.legend(fontsize=8)
    losses.grid(alpha=0.3)
    if measured:
        chart = axes[0][1]
        for name in measured:
            chart.plot([r.step for r in evaluations], [r.values[name] for r in evaluations], marker="o", label=name)
        chart.set(xlabel="step", ylabel="percent", title=f"{title}: validation")
        chart.legend(fontsize=8)
        chart.grid(alpha=0.3)
    _save(figure, path)


def _validation_names(evaluations: Sequence[Record]) -> list[str]:
    """Return the metrics in percent that all evaluations have; none in pretraining, which notes its mean loss."""
    if not evaluations:
        return []
    shown = [metric.name for metric in all_metrics() if metric.label is not None]
    return [name for name in shown if all(name in record.values for record in evaluations)]


def plot_sweep(
    tried: Sequence[tuple[Mapping[str, Any], float]], logarithmic: Collection[str], metric: str, path: Path, title: str
) -> None:
    """Draw a chart for each field that was swept: the best value of a metric in every trial.

    tried: values of the fields, and the metric, for each trial. logarithmic: fields with a logarithmic axis.
    """
    fields = list(tried[0][0])
    figure, axes = pyplot.subplots(1, len(fields), figsize=(5 * len(fields), 4), squeeze=False, sharey=True)
    for chart, name in zip(axes[0], fields, strict=True):
        points = sorted(((values[name], reached) for values, reached in tried), key=lambda point: _place(point[0]))
        plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in points)
        places = [value if plain else str(value) for value, _ in points]
        chart.plot(places, [reached for _, reached in points], marker="o", linestyle="-" if len(fields) == 1 else "")
        for place, (_, reached) in zip(places, points, strict=True):
            chart.annotate(
                f"{reached:.1f}", (place, reached), textcoords="offset points", xytext=(0, 6), ha="center", fontsize=8
            )
        if name in logarithmic:
            chart.set_xscale("log")
        chart.set(xlabel=name.replace("_", " "), title=f"{title}: sweep" if name == fields[0] else "")
        chart.margins(y=0.2)
        chart.grid(alpha=0.3)
    axes[0][0].set_ylabel(metric)
    _save(figure, path)


def _place(value: Any) -> tuple[str, Any]:
    """Give values of any types a sort key: integers and fractions sort by size, every other type by itself."""
    return ("", value) if isinstance(value, int | float) else (type(value).__name__, value)


def plot_trials(trials: Mapping[str, Sequence[Record]], metric: str, path: Path, title: str) -> None:
    """Draw learning curves of all trials: the loss, and the metric at every validation, by step."""
    figure, (losses, chart) = pyplot.subplots(1, 2, figsize=(11, 4))
    for name, records in trials.items():
        train = [(r.step, r.values["loss"]) for r in records if r.kind == "train" and "loss" in r.values]
        reached = [(r.step, r.values[metric]) for r in records if r.kind == "evaluation" and metric in r.values]
        if train:
            losses.plot(*zip(*train, strict=True), label=name, linewidth=1)
        if reached:
            chart.plot(*zip(*reached, strict=True), marker="o", label=name)
    losses.set(xlabel="step", ylabel="loss", title=f"{title}: losses")
    chart.set(xlabel="step", ylabel=metric, title=f"{title}: validation")
    for one in (losses, chart):
        one.grid(alpha=0.3)
        if len(trials) <= MOST_LABELS:
            one.legend(fontsize=8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
