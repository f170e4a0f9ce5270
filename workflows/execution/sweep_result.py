"""What a sweep leaves: the best trial's checkpoint as the stage's result, a table of all trials, and plots."""

from __future__ import annotations

import csv
import json
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
from workflows.execution.progress import PROGRESS_FILE, Record, best_evaluation, read_records
from workflows.execution.run_folder import RunFolder
from workflows.execution.stage_checkpoint import CHECKPOINT_FOLDER, further_steps, uploaded_checkpoints
from workflows.execution.training_job import run_name, storage_of
from workflows.execution.training_outcome import training_outcome
from workflows.execution.training_stage import TrainSection
from workflows.execution.trials import Trial, TrialBook, is_logarithmic
from workflows.execution.whereabouts import noted_workers
from workflows.records.outcome import OtherCheckpoints, StageOutcome
from workflows.records.tracking import RUN_NOTE, RunRecorder
from workflows.spec.sweep import SweepSection

Context = StageContext[TrainSection]


@dataclass(frozen=True)
class Ran:
    """A trial that left a whole checkpoint. best: its best validation. kept: names of its checkpoints by step, in `run`."""

    trial: Trial
    records: Sequence[Record]
    best: Record
    run: RunFolder
    kept: Mapping[int, str]


def best_trial(context: Context, book: TrialBook, runs: Mapping[str, RunRecorder]) -> StageOutcome:
    """Keep the best trial's best checkpoint, write the table and the plots, end the trials' runs in MLflow.

    Raises:
        UserError: no trial left a whole checkpoint.
    """
    settings = context.section.sweep
    assert settings is not None
    metric: Metric = context.kind.selection_metric(context.section)
    ran = _trials_that_ran(context, book, metric)
    for name, run in runs.items():
        _end_run(run, ran.get(name), read_records(book.folder / name))
    if not ran:
        raise UserError(f"no trial left a whole checkpoint; start again by --force {context.step.name}")
    sign = -1 if metric.lower_is_better else 1
    winner = max(ran.values(), key=lambda one: sign * one.best.values[metric.name])
    runs[winner.trial.name].tags({"cosa.best_trial": "yes"})
    table = _write_tables(context, book, ran, metric, winner)
    _draw(context, settings, ran, metric, winner)
    copy_model(winner.run, winner.kept[winner.best.step], context.folder / CHECKPOINT_FOLDER)
    shutil.copy2(book.folder_of(winner.trial) / PROGRESS_FILE, context.folder / PROGRESS_FILE)
    for name in runs:
        (book.folder / name / RUN_NOTE).unlink(missing_ok=True)
    context.run.params({f"best_{name}": value for name, value in winner.trial.parameters.items()})
    extra = f"; {winner.trial.name} is the best of {len(ran)}"
    outcome = training_outcome(context, list(winner.records), winner.best, extra)
    outcome.details |= {
        **{f"best_{name}": value for name, value in winner.trial.parameters.items()},
        "trials": table,
        "workers": noted_workers(book.folder_of(winner.trial)),
    }
    failed = {trial.name: trial.reason for trial in book.trials if trial.state == "failed"}
    if failed:
        outcome.details["failed_trials"] = failed
    outcome.other_checkpoints = _other_checkpoints(context, book, ran, winner, runs)
    remove_checkpoints(context.folder, context.run.tracker.reporter.warn)
    return outcome


def _trials_that_ran(context: Context, book: TrialBook, metric: Metric) -> dict[str, Ran]:
    storage, warn = storage_of(context), context.run.tracker.reporter.warn
    ran = {}
    for trial in book.done:
        run = RunFolder.at(storage, f"{run_name(context)}-{trial.name}")
        records, kept = read_records(book.folder_of(trial)), intact_checkpoints(run, warn)
        best = best_evaluation(records, metric, kept)
        if best is not None:
            ran[trial.name] = Ran(trial, records, best, run, kept)
    return ran


def _end_run(run: RunRecorder, ran: Ran | None, records: Sequence[Record]) -> None:
    if ran is not None:
        run.tags({"cosa.trial_state": ran.trial.state})
        run.metrics({f"final/{measured}": value for measured, value in ran.best.values.items()})
    run.end("FINISHED" if ran is not None else "FAILED", records[-1].seconds if records else None)


def _write_tables(
    context: Context, book: TrialBook, ran: Mapping[str, Ran], metric: Metric, winner: Ran
) -> list[dict[str, Any]]:
    """`trials.json` and `trials.csv`, all trials from the best to the worst; the same in the terminal."""
    sign = 1 if metric.lower_is_better else -1
    order = sorted(ran.values(), key=lambda one: (one is not winner, sign * one.best.values[metric.name]))
    table = [
        {"trial": one.trial.name, **one.trial.parameters, "state": one.trial.state, "step": one.best.step,
         "steps": one.best.total, **one.best.values}
        for one in order
    ]  # fmt: skip
    table += [{"trial": trial.name, **trial.parameters, "state": trial.state} for trial in book.trials if trial.name not in ran]
    (context.folder / "trials.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    with (context.folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in table for name in row)))
        writer.writeheader()
        writer.writerows(table)
    context.run.tracker.reporter.trials(list(winner.trial.parameters), metric, table)
    return table


def _draw(context: Context, settings: SweepSection, ran: Mapping[str, Ran], metric: Metric, winner: Ran) -> None:
    folder, title = context.folder, context.step.name
    logarithmic = [name for name, values in settings.fields.items() if is_logarithmic(name, values)]
    tried = [(one.trial.parameters, one.best.values[metric.name]) for one in ran.values()]
    plot_sweep(tried, logarithmic, metric.name, folder / "sweep.png", title)
    plot_trials({name: one.records for name, one in ran.items()}, metric.name, folder / "sweep-curves.png", title)
    plot_curves(winner.records, folder / "curves.png", title=f"{title} {winner.trial.name}")


def _other_checkpoints(
    context: Context, book: TrialBook, ran: Mapping[str, Ran], winner: Ran, runs: Mapping[str, RunRecorder]
) -> list[OtherCheckpoints]:
    """What MLflow should have besides the winner's best: its last one, or all of every trial, each with the trial's run."""
    which = uploaded_checkpoints(context)
    if which != "all":
        steps = further_steps(list(winner.records), which, winner.best.step)
        others = copy_other_models(winner.run, winner.kept, steps, context.folder)
        return [OtherCheckpoints(others)] if others is not None else []
    found = []
    for name, one in ran.items():
        steps = {record.step for record in one.records if record.kind == "evaluation"}
        others = copy_other_models(one.run, one.kept, steps, book.folder_of(one.trial))
        if others is not None:
            found.append(OtherCheckpoints(others, runs[name]))
    return found
