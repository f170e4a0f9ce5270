"""Collects what a page about an experiment shows: stages, figures, curves, predictions, cost and commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cosa.tasks.all_tasks import all_metrics, label_of
from workflows.execution.progress import PROGRESS_FILE, Record, read_records
from workflows.execution.trials import TrialBook
from workflows.planning.step import Step
from workflows.records.headline import headline
from workflows.records.intervals import GALLERY
from workflows.reports.compared import Cell
from workflows.reports.compared_metrics import MetricRow, metric_rows
from workflows.reports.cost import Cost, cost_of
from workflows.reports.reproducing import command_again, recorded_spec
from workflows.reports.svg_chart import Line
from workflows.reports.svg_graph import Node
from workflows.results.inventory import Inventory, StoredResult
from workflows.results.layout import TRIALS_FOLDER
from workflows.results.sizes import size_of
from workflows.spec.stage_kinds import kind_of, recorded_section

LOSS_END = "_loss"
OF_TRAINING, OF_PREDICTIONS = ("sweep.png",), ("retrieved.png",)  # pictures of a result that no chart or gallery replaces


@dataclass(frozen=True)
class Chart:
    """Curves with one axis."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class StageReport:
    """What is shown of a stage. result: None if it has none; then why says why. on: what its metrics were measured on."""

    name: str
    kind: str
    result: StoredResult | None
    why: str = ""
    headline: str = ""
    on: str = ""
    cost: Cost | None = None
    size: int = 0
    metrics: tuple[MetricRow, ...] = ()
    charts: tuple[Chart, ...] = ()
    galleries: tuple[Path, ...] = ()
    training_pictures: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()
    examples: tuple[str, ...] = ()
    is_evaluation: bool = False


@dataclass(frozen=True)
class ExperimentReport:
    """What a page about an experiment shows. spec: of the run that made its last result. commands: that made its results, each
    once. again: those that make the result of a single stage again."""

    name: str
    description: str
    stages: tuple[StageReport, ...]
    nodes: tuple[Node, ...]
    commands: tuple[str, ...]
    again: Mapping[str, str]
    commits: tuple[str, ...]
    spec: Path | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def made(self) -> list[StageReport]:
        """Return the stages that have results."""
        return [stage for stage in self.stages if stage.result is not None]


def report_of(
    name: str,
    results: Mapping[str, StoredResult],
    inventory: Inventory,
    steps: Mapping[str, Step],
    absent: Mapping[str, str],
    description: str = "",
) -> ExperimentReport:
    """Collect a report.

    Args:
        name: of the experiment.
        results: by stage.
        inventory: of the storage folder.
        steps: of the plan, if a spec was given; otherwise none.
        absent: why stages of the spec have no result.
        description: of the experiment, as its spec says it.
    """
    order = list(steps) or sorted(results, key=lambda stage: results[stage].started)
    stages = tuple(_stage(stage, results.get(stage), steps.get(stage), absent.get(stage, "")) for stage in order)
    made = [stage.result for stage in stages if stage.result is not None]
    manifests = [result.manifest for result in made if result.manifest is not None]
    newest = max(made, key=lambda one: one.started, default=None)
    return ExperimentReport(
        name,
        description,
        stages,
        tuple(_nodes(stages, inventory, steps)),
        tuple(dict.fromkeys(manifest.command for manifest in manifests if manifest.command)),
        {stage.name: command for stage in stages if stage.result is not None and (command := command_again(stage.result))},
        tuple(dict.fromkeys(filter(None, map(_commit, manifests)))),
        recorded_spec(newest) if newest is not None else None,
        tuple(f"{stage.name}: {stage.result.damage}" for stage in stages if stage.result is not None and stage.result.damage),
    )


def _commit(manifest: object) -> str:
    git: Mapping[str, str] = getattr(manifest, "git", {})
    return git.get("commit", "") + (" with changes" if git.get("dirty") == "yes" else "")


def _stage(name: str, result: StoredResult | None, step: Step | None, why: str) -> StageReport:
    manifest = result.manifest if result is not None else None
    if result is None or manifest is None:
        return StageReport(name, step.kind if step is not None else "", result, why or (result.damage if result else ""))
    section = recorded_section(manifest.kind, manifest.section)
    kind = kind_of(section) if section is not None else None
    on = kind.measured_on(section) if kind is not None else None
    of_outputs = {output: result.folder / file for output, file in manifest.outputs.items()}
    return StageReport(
        name,
        manifest.kind,
        result,
        headline=headline(manifest.kind, manifest.metrics, on),
        on=": ".join(filter(None, ("/".join(on or ()), str(manifest.details.get("measured", ""))))),
        cost=cost_of(result),
        size=size_of(result.folder),
        metrics=tuple(_shown(metric_rows([Cell(name, result, step)]))),
        charts=tuple(_charts(name, result)),
        galleries=tuple(path for output, path in of_outputs.items() if output.startswith(GALLERY) and path.is_file()),
        training_pictures=_existing(result.folder, OF_TRAINING),
        pictures=_existing(result.folder, OF_PREDICTIONS),
        examples=tuple(map(str, manifest.details.get("examples", ()))),
        is_evaluation=kind is not None and kind.published(section) is not None,
    )


def _existing(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(folder / name for name in names if (folder / name).is_file())


def _shown(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """Return those metrics that have a label for people."""
    return [row for row in rows if row.metric is not None and row.metric.label is not None]


def _nodes(stages: Sequence[StageReport], inventory: Inventory, steps: Mapping[str, Step]) -> list[Node]:
    """Return the stages as they were made from each other, by fingerprint: another experiment may name them otherwise."""
    fingerprints = {stage.result.fingerprint: stage.name for stage in stages if stage.result is not None}
    nodes = []
    for stage in stages:
        inputs = (
            [] if stage.result is None else [fingerprints[one] for one in inventory.needs(stage.result) if one in fingerprints]
        )
        if stage.result is None and stage.name in steps:
            inputs = [name for name in steps[stage.name].inputs if name != stage.name]
        state = "missing" if stage.result is None else "damaged" if stage.result.damage else "done"
        figure = stage.headline or stage.why
        other = "" if stage.result is None or stage.result.stage == stage.name else f", as {stage.result.name}"
        nodes.append(Node(stage.name, (f"{stage.kind}{other}", figure), state, tuple(inputs)))
    return nodes


def _charts(name: str, result: StoredResult) -> list[Chart]:
    """Return the curves of a training, or of the trials of a sweep."""
    book = TrialBook.read(result.folder / TRIALS_FOLDER)
    trials = {trial.name: read_records(book.folder_of(trial)) for trial in book.trials}
    if trials:
        runs = {trial: records for trial, records in trials.items() if records}
        lines = [Line(trial, _points(records, "train", "loss")) for trial, records in runs.items()]
        measured = _measured([record for records in runs.values() for record in records])[:1]
        return [
            Chart(f"{name}: loss", tuple(lines)),
            *(Chart(f"{name}: {label_of(one)}", tuple(_per_trial(runs, one))) for one in measured),
        ]
    if not (result.folder / PROGRESS_FILE).is_file():
        return []
    records = read_records(result.folder)
    losses = dict.fromkeys(
        key for record in records if record.kind == "train" for key in record.values if key.endswith(LOSS_END)
    )
    charts = [Chart(f"{name}: loss", (Line("loss", _points(records, "train", "loss")),))]
    if len(losses) > 1:
        parts = (Line(loss.removesuffix(LOSS_END), _points(records, "train", loss)) for loss in losses)
        charts.append(Chart(f"{name}: losses of objectives", tuple(parts)))
    measured = _measured(records)
    if measured:
        lines = [Line(label_of(one), _points(records, "evaluation", one)) for one in measured]
        charts.append(Chart(f"{name}: validation", tuple(lines)))
    return charts


def _per_trial(runs: Mapping[str, Sequence[Record]], metric: str) -> list[Line]:
    return [Line(trial, _points(records, "evaluation", metric)) for trial, records in runs.items()]


def _points(records: Sequence[Record], kind: str, name: str) -> list[tuple[float, float]]:
    return [(record.step, record.values[name]) for record in records if record.kind == kind and name in record.values]


def _measured(records: Sequence[Record]) -> list[str]:
    """Return the metrics of validation that people look at."""
    found = {name for record in records if record.kind == "evaluation" for name in record.values}
    return [metric.name for metric in all_metrics() if metric.label is not None and metric.name in found]
