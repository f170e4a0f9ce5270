"""Runs a training stage: one training in Ray Train, or a sweep of several in Ray Tune."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from cosa.errors import UserError
from cosa.evaluation.metric import Metric
from workflows.cluster.preemption import ask_to_stop, saving
from workflows.execution.checkpoint_storage import remove_checkpoints
from workflows.execution.checkpoints import copy_model, copy_other_models, intact_checkpoints
from workflows.execution.context import StageContext
from workflows.execution.fit import fit_in_background, trainer_of
from workflows.execution.orders import ORDERS, order_lines, orders_of
from workflows.execution.plots import plot_curves
from workflows.execution.progress import Follower, best_evaluation, read_records
from workflows.execution.record_forwarder import RecordForwarder
from workflows.execution.run_folder import RunFolder
from workflows.execution.stage_checkpoint import further_steps, uploaded_checkpoints
from workflows.execution.training_job import job_of, run_name, storage_of
from workflows.execution.training_outcome import training_outcome
from workflows.execution.workers import raise_mistake, training_worker
from workflows.records.outcome import OtherCheckpoints, StageOutcome
from workflows.results.layout import CHECKPOINT_FOLDER
from workflows.spec.scaling import check_batch


def train(context: StageContext[Any]) -> StageOutcome:
    """Train and save the best checkpoint in `checkpoint/`; interrupted training resumes from its latest checkpoint."""
    if context.section.sweep is not None:
        context.line.update("starting Ray")
        context.cluster.start()  # It must precede the import below, because Ray reads its environment once.
        from workflows.execution.tune import sweep

        return sweep(context)
    return train_once(context)


def train_once(context: StageContext[Any]) -> StageOutcome:
    """Train once, without a sweep.

    Raises:
        UserError: a batch does not fit the number of workers, or training left no intact checkpoint.
    """
    context.line.update("starting Ray")
    resources = context.cluster.resources_for(context.kind.workers(context.section))
    for count in resources.counts:
        check_batch(context.step.name, context.section, count)
    orders = orders_of(context)
    for text in order_lines(orders):
        context.run.tracker.reporter.print(f"  [dim]{escape(text)}[/]")
    selected_by: Metric | None = context.kind.selection_metric(context.section)
    job, warn = job_of(context, context.folder), context.run.tracker.reporter.warn
    storage = storage_of(context)
    fewest = f"{resources.minimum} to " if resources.minimum is not None else ""
    context.line.update(f"starting {fewest}{resources.workers} worker{'s' if resources.workers > 1 else ''}")
    trainer = trainer_of(
        training_worker,
        {"job": job},
        resources,
        name=run_name(context),
        storage=storage,
        score=selected_by.name if selected_by is not None else None,
        mode=selected_by.mode if selected_by is not None else "max",
        retain_all=uploaded_checkpoints(context) == "all",
        notices=context.folder,
        can_be_orphaned=context.cluster.is_shared,
        warn=warn,
    )
    forward = RecordForwarder(context)
    follower = Follower(context.folder)

    def ask() -> None:
        context.run.tracker.reporter.print(f"  {context.step.name}: {saving(['training'], context.section.log_every)}")
        ask_to_stop(context.folder)

    fit_in_background(trainer, lambda: forward.all(follower), ask)
    raise_mistake(context.folder)
    records = read_records(context.folder)
    run = RunFolder.at(storage, run_name(context))
    saved = intact_checkpoints(run, warn)
    best = best_evaluation(records, selected_by, saved)
    if best is None:
        raise UserError(f"training left no intact checkpoint; start again with --force {context.step.name}")
    copy_model(run, saved[best.step], context.folder / CHECKPOINT_FOLDER)
    plot_curves(records, context.folder / "curves.png", title=context.step.name)
    outcome = training_outcome(context, records, best, extra="")
    outcome.details |= {ORDERS: orders} if orders else {}
    others = copy_other_models(run, saved, further_steps(records, uploaded_checkpoints(context), best.step), context.folder)
    outcome.other_checkpoints = [OtherCheckpoints(others)] if others is not None else []
    outcome.remove = lambda result: remove_checkpoints(result, warn)
    return outcome
