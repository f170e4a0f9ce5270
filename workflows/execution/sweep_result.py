"""Writes the result of a sweep: the best trial's checkpoint, a table of all trials, and plots."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosa.errors import UserError
from cosa.evaluation.metric import Metric
from workflows.execution.checkpoint_storage import remove_checkpoints
from workflows.execution.checkpoints import copy_model, copy_other_models, intact_checkpoints
from workflows.execution.context import StageContext
from workflows.execution.plots import plot_curves, plot_sweep, plot_trials
from workflows.execution.progress import MEAN_LOSS, PROGRESS_FILE, Record, best_evaluation, read_records
from workflows.execution.run_folder import RunFolder
from workflows.execution.stage_checkpoint import further_steps, uploaded_checkpoints
from workflows.execution.training_job import run_name, storage_of
from workflows.execution.training_outcome import training_outcome
from workflows.execution.training_stage import TrainSection
from workflows.execution.trials import Trial, TrialBook, is_logarithmic
from workflows.execution.whereabouts import noted_workers
from workflows.records.outcome import OtherCheckpoints, StageOutcome
from workflows.records.tracking import RunRecorder
from workflows.results.layout import CHECKPOINT_FOLDER, TRIALS_TABLE
from workflows.spec.sweep import SweepSection

Context = StageContext[TrainSection]


@dataclass(frozen=True)
class RankedTrial:
    """A trial that left an intact checkpoint. best: its best validation. saved: names of its checkpoints in `run`, by step."""

    trial: Trial
    records: Sequence[Record]
    best: Record
    run: RunFolder
    saved: Mapping[int, str]


def best_trial(context: Context, book: TrialBook, runs: Mapping[str, RunRecorder]) -> StageOutcome:
    """Save the best trial's best checkpoint, write the table and the plots, and end the trials' runs in MLflow.

    Raises:
        UserError: no trial left an intact checkpoint.
    """
    settings = context.section.sweep
    assert settings is not None
    metric: Metric = context.kind.selection_metric(context.section)
    ranked = _ranked_trials(context, book, metric)
    for name, run in runs.items():
        _end_run(run, ranked.get(name), read_records(book.folder / name))
    if not any(one.saved for one in ranked.values()):
        raise UserError(f"no trial left an intact checkpoint; start again with --force {context.step.name}")
    kept = [one for one in ranked.values() if one.saved]  # Of a trial that another sweep ran, only if it was the best there.
    winner = max(kept, key=lambda one: rank(one, metric))
    runs[winner.trial.name].tags({"cosa.best_trial": "yes"})
    table = _write_tables(context, book, ranked, metric, winner)
    _draw(context, settings, ranked, metric, winner)
    copy_model(winner.run, winner.saved[winner.best.step], context.folder / CHECKPOINT_FOLDER)
    shutil.copy2(book.folder_of(winner.trial) / PROGRESS_FILE, context.folder / PROGRESS_FILE)
    context.run.params({f"best_{name}": value for name, value in winner.trial.parameters.items()})
    outcome = training_outcome(
        context, list(winner.records), winner.best, f"; {_why_best(winner, list(ranked.values()), metric)}"
    )
    outcome.details |= {
        **{f"best_{name}": value for name, value in winner.trial.parameters.items()},
        "trials": table,
        "workers": noted_workers(book.folder_of(winner.trial)),
    }
    failed = {trial.name: trial.reason for trial in book.failed}
    if failed:
        outcome.details["failed_trials"] = failed
    outcome.other_checkpoints = _other_checkpoints(context, book, ranked, winner, runs)
    outcome.remove = lambda result: remove_checkpoints(result, context.run.tracker.reporter.warn)
    return outcome


def rank(one: RankedTrial, metric: Metric) -> tuple[float, float, str]:
    """Return what makes a trial better than others: its metric, of equal ones the lower loss, of equal ones no chance."""
    sign, loss = -1 if metric.lower_is_better else 1, one.best.values.get(MEAN_LOSS.name, math.inf)
    return (
        sign * one.best.values[metric.name],
        -loss if math.isfinite(loss) else -math.inf,
        json.dumps(one.trial.parameters, sort_keys=True),
    )


def _why_best(winner: RankedTrial, ranked: Sequence[RankedTrial], metric: Metric) -> str:
    """Say that a trial is the best, and by what if others have the same metric."""
    value = winner.best.values[metric.name]
    equal = sum(one.best.values[metric.name] == value for one in ranked)
    name = winner.trial.name
    if equal == 1 or metric.name == MEAN_LOSS.name:
        return f"{name} is the best of {len(ranked)}"
    return f"{equal} of {len(ranked)} trials are equal; {name} is selected by its loss"


def _ranked_trials(context: Context, book: TrialBook, metric: Metric) -> dict[str, RankedTrial]:
    """Return by name all trials that ended and left an intact checkpoint."""
    storage, warn = storage_of(context), context.run.tracker.reporter.warn
    ranked: dict[str, RankedTrial] = {}
    for trial in book.done:
        records = read_records(book.folder_of(trial))
        if trial.taken_from:
            ranked |= _taken_trial(book, trial, records, metric)
            continue
        run = RunFolder.at(storage, f"{run_name(context)}-{trial.name}")
        saved = intact_checkpoints(run, warn)
        best = best_evaluation(records, metric, saved)
        if best is not None:
            ranked[trial.name] = RankedTrial(trial, records, best, run, saved)
    return ranked


def _taken_trial(book: TrialBook, trial: Trial, records: Sequence[Record], metric: Metric) -> dict[str, RankedTrial]:
    """Return, by name, a trial of an earlier sweep, at the step that counted there.

    Its checkpoint is here if it was the best of that sweep, and otherwise was not kept.
    """
    best = best_evaluation(records, metric, {trial.best_step})
    if best is None:
        return {}
    folder = book.folder_of(trial).absolute()
    saved = {best.step: CHECKPOINT_FOLDER} if (folder / CHECKPOINT_FOLDER).is_dir() else {}
    return {trial.name: RankedTrial(trial, records, best, RunFolder.at(folder), saved)}


def _end_run(run: RunRecorder, ranked: RankedTrial | None, records: Sequence[Record]) -> None:
    if ranked is not None:
        run.tags({"cosa.trial_state": ranked.trial.state})
        run.metrics({f"final/{measured}": value for measured, value in ranked.best.values.items()})
    run.end("FINISHED" if ranked is not None else "FAILED", records[-1].seconds if records else None)


def _write_tables(
    context: Context, book: TrialBook, ranked: Mapping[str, RankedTrial], metric: Metric, winner: RankedTrial
) -> list[dict[str, Any]]:
    """Write `trials.json` and `trials.csv` with all trials from the best to the worst, and show the same in the terminal."""
    order = [
        winner,
        *sorted((one for one in ranked.values() if one is not winner), key=lambda one: rank(one, metric), reverse=True),
    ]
    table = [
        {"trial": one.trial.name, **one.trial.parameters, "state": one.trial.state, "step": one.best.step,
         "steps": one.best.total, **one.best.values}
        for one in order
    ]  # fmt: skip
    others = [trial for trial in book.trials if trial.name not in ranked]
    table += [{"trial": trial.name, **trial.parameters, "state": trial.state} for trial in others]
    (context.folder / TRIALS_TABLE).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    with (context.folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in table for name in row)))
        writer.writeheader()
        writer.writerows(table)
    context.run.tracker.reporter.trials(list(winner.trial.parameters), metric, table)
    return table


def _draw(
    context: Context, settings: SweepSection, ranked: Mapping[str, RankedTrial], metric: Metric, winner: RankedTrial
) -> None:
    folder, title = context.folder, context.step.name
    logarithmic = [name for name, values in settings.fields.items() if is_logarithmic(name, values)]
    tried = [(one.trial.parameters, one.best.values[metric.name]) for one in ranked.values()]
    plot_sweep(tried, logarithmic, metric.name, folder / "sweep.png", title)
    plot_trials({name: one.records for name, one in ranked.items()}, metric.name, folder / "sweep-curves.png", title)
    plot_curves(winner.records, folder / "curves.png", title=f"{title} {winner.trial.name}")


def _other_checkpoints(
    context: Context, book: TrialBook, ranked: Mapping[str, RankedTrial], winner: RankedTrial, runs: Mapping[str, RunRecorder]
) -> list[OtherCheckpoints]:
    """Copy what MLflow should have besides the winner's best checkpoint: its last one, or all those of every trial."""
    which = uploaded_checkpoints(context)
    if which != "all":
        steps = further_steps(list(winner.records), which, winner.best.step)
        others = copy_other_models(winner.run, winner.saved, steps, context.folder)
        return [OtherCheckpoints(others)] if others is not None else []
    found = []
    for name, one in ranked.items():
        steps = {record.step for record in one.records if record.kind == "evaluation"}
        others = copy_other_models(one.run, one.saved, steps, book.folder_of(one.trial))
        if others is not None:
            found.append(OtherCheckpoints(others, runs[name]))
    return found
