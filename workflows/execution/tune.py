"""Runs a sweep over fields of a stage in Ray Tune: every trial is a Ray Train run; the best one's checkpoint is the result."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from rich.markup import escape

from cosa.errors import UserError
from cosa.evaluation.metric import Metric
from workflows.cluster.nodes import alive_nodes
from workflows.cluster.preemption import ask_to_stop, forget, is_asked_to_stop, saving
from workflows.cluster.ray_cluster import WorkerResources, groups_that_fit
from workflows.execution.context import StageContext
from workflows.execution.earlier_trials import identify, take_over_trials
from workflows.execution.fit import fit_in_background, trainer_of
from workflows.execution.progress import Follower, Record, read_records
from workflows.execution.record_forwarder import RecordForwarder
from workflows.execution.search import AshaWithHistory, PlannedTrials, StudyTrials, TrialEnds, TrialSearch
from workflows.execution.stage_checkpoint import uploaded_checkpoints
from workflows.execution.sweep_result import best_trial
from workflows.execution.training_job import job_of, run_name, storage_of
from workflows.execution.training_stage import TrainSection
from workflows.execution.trials import Trial, TrialBook, planned
from workflows.execution.worker_loss import LOSS_FILE, WorkersLostError, memory_kills, note_loss, noted_loss
from workflows.execution.workers import MISTAKE_FILE, raise_mistake, training_worker
from workflows.records.outcome import StageOutcome
from workflows.records.recording import params_of
from workflows.records.run_names import name_of_run
from workflows.records.tracking import STAGE_KIND, TRIAL, RunRecorder
from workflows.records.ui_pages import COLOR_TAG, color_of_run
from workflows.results.layout import RAY_FOLDER, RUN_NOTE, TRIALS_FOLDER
from workflows.spec.scaling import check_batch
from workflows.spec.sweep import SweepSection
from workflows.terminal.reporter import duration

Context = StageContext[TrainSection]


def sweep(context: Context) -> StageOutcome:
    """Run all trials, as many at once as fit into the cluster, and save the best checkpoint of all of them.

    Raises:
        UserError: no trial can be run, or all failed.
        KeyboardInterrupt: trials are missing, because Tune returns normally after Ctrl-C.
    """
    settings = _sweep_of(context)
    resources = context.cluster.resources_for(context.kind.workers(context.section))
    book = TrialBook.read(context.folder / TRIALS_FOLDER)
    source: PlannedTrials | StudyTrials
    if settings.search == "optuna":
        source, total = StudyTrials(settings, book, context.seed), settings.trials or 0
    else:
        trials = [book.add(values) for values in planned(settings, context.seed)]
        book.begin_with(trials)
        for trial in trials:
            check_batch(context.step.name, _section_of(context, trial), resources.workers)
        _take_over(context, book, trials)
        source, total = PlannedTrials([trial for trial in trials if trial.state == "waiting"]), len(book.trials)
    at_once = _trials_at_once(context, settings, resources, total)
    watch = _Watch(context, book, total)
    try:
        missing = total - len(book.done) - len(book.failed)
        if missing:
            context.line.update(f"starting trials ({missing} to run)")
            search = TrialSearch(source, watch.value_of, watch.has_mistake)

            def ask() -> None:
                search.is_ending = True
                context.run.tracker.reporter.print(
                    f"  {context.step.name}: {saving(watch.ask_to_stop(), context.section.log_every)}"
                )

            with context.cluster.watched():
                fit_in_background(_tuner(context, book, resources, search, watch, at_once), watch.poll, ask)
        watch.poll()
        _check_ends(context, book, total)
    except BaseException as error:
        for run in watch.runs.values():
            run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    return best_trial(context, book, watch.runs)


def _take_over(context: Context, book: TrialBook, trials: list[Trial]) -> None:
    """Use what earlier sweeps have done of these trials, and say so."""
    identify(context, trials)
    for trial in trials:
        book.write(trial)
    count = take_over_trials(context, book)
    if count:
        sources = sorted({trial.taken_from for trial in trials if trial.taken_from})
        where = f" (as {', '.join(sources)})" if sources else ""
        all_trials = f"{len(trials)} trial{'s' if len(trials) > 1 else ''}"
        text = f"{context.step.name}: {count} of {all_trials} {'were' if count > 1 else 'was'} run before{where}"
        context.run.tracker.reporter.print(f"  [dim]{text}[/]")


def _sweep_of(context: Context) -> SweepSection:
    assert context.section.sweep is not None
    return context.section.sweep


def _section_of(context: Context, trial: Trial) -> TrainSection:
    """Return the stage's section with the values of a trial."""
    return context.section.model_copy(update={**trial.parameters, "sweep": None})


def _trials_at_once(context: Context, settings: SweepSection, resources: WorkerResources, total: int) -> int:
    """Return how many trials run side by side, and show how that was computed."""
    nodes = alive_nodes()
    fit = groups_that_fit(resources, nodes)
    at_once = max(1, min(fit, total, settings.max_concurrent or total))
    has = f"{sum(node.cpus for node in nodes):g} CPU"
    needs = f"{resources.workers} worker{'s' if resources.workers > 1 else ''} x {resources.cpus} CPU"
    if resources.gpus:
        has += f", {sum(node.gpus for node in nodes):g} GPU"
        needs += f", {resources.gpus:g} GPU"
    trials = f"{total} trial{'s' if total > 1 else ''}"
    limit = f", max_concurrent {settings.max_concurrent}" if settings.max_concurrent else ""
    context.run.tracker.reporter.print(
        f"  [dim]{context.step.name}: {trials}, {at_once} at once ({has} / ({needs}) = {fit} fit{limit})[/]"
    )
    return at_once


def _tuner(
    context: Context, book: TrialBook, resources: WorkerResources, search: TrialSearch, watch: _Watch, at_once: int
) -> Any:
    from ray import tune

    settings = _sweep_of(context)
    metric: Metric = context.kind.selection_metric(context.section)
    same_for_all = {
        "job": job_of(context, context.folder, sweep=None),
        "trials": str(book.folder),
        "resources": resources,
        "storage": storage_of(context),
        "prefix": run_name(context),
        "score": metric.name,
        "mode": metric.mode,
        "retain_all": uploaded_checkpoints(context) == "all",
    }
    scheduler = None
    if settings.scheduler == "asha":
        history = {trial.name: watch.values_of(trial) for trial in book.done}
        scheduler = AshaWithHistory(max(1, context.section.evaluations_per_run), metric.mode, history)
    # An interrupted sweep left this folder. It is not needed, because the trial book knows everything.
    shutil.rmtree(context.folder / RAY_FOLDER / "tune", ignore_errors=True)
    return tune.Tuner(
        # The trial itself only waits for its workers, so it must not take a CPU from them.
        tune.with_resources(tune.with_parameters(run_trial, same_for_all=same_for_all), {"node:__internal_head__": 0.001}),
        tune_config=tune.TuneConfig(
            metric=metric.name,
            mode=metric.mode,
            scheduler=scheduler,
            search_alg=search,
            num_samples=watch.total - len(book.done) - len(book.failed),
            max_concurrent_trials=at_once,
            # A process that has imported everything runs the next trial. That of a trial that was stopped early would still be
            # busy, and Tune would then fail the next one.
            reuse_actors=scheduler is None,
            trial_dirname_creator=lambda trial: trial.config["trial"],
            trial_name_creator=lambda trial: trial.config["trial"],
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(context.folder / RAY_FOLDER), verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            callbacks=[TrialEnds(watch.began, watch.ended, watch.failed)],
        ),
    )  # fmt: skip


def run_trial(config: dict[str, Any], same_for_all: dict[str, Any]) -> None:
    """Run one trial in a Ray Tune actor, as a Ray Train run that reports its evaluations to Tune."""
    from ray.tune.integration.ray_train import TuneReportCallback

    shared = same_for_all

    class ReportEvaluations(TuneReportCallback):
        """Reports only evaluations: checkpoints between them have no metric, which Tune insists on."""

        def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
            if shared["score"] in metrics[0]:
                super().after_report(run_context, metrics, checkpoint)

    folder = Path(shared["trials"]) / config["trial"]
    for file in (MISTAKE_FILE, LOSS_FILE):
        (folder / file).unlink(missing_ok=True)
    forget(folder)
    job = {**shared["job"], "folder": str(folder), "section": {**shared["job"]["section"], **config["parameters"]}}
    trainer = trainer_of(
        training_worker,
        {"job": job},
        shared["resources"],
        name=f"{shared['prefix']}-{config['trial']}",
        storage=shared["storage"],
        score=shared["score"],
        mode=shared["mode"],
        retain_all=shared["retain_all"],
        callbacks=[ReportEvaluations()],
        notices=folder,
    )
    kills = memory_kills()
    try:
        trainer.fit()
    except Exception as error:
        note_loss(folder, error, kills)  # The driver would not get the error's text in time.
        raise
    raise_mistake(folder)


class _Watch:
    """Follows all trials: forwards their progress to the live line and to MLflow, and writes into the book how they end."""

    def __init__(self, context: Context, book: TrialBook, total: int):
        self.context, self.book, self.total = context, book, total
        self.metric: Metric = context.kind.selection_metric(context.section)
        self.runs: dict[str, RunRecorder] = {}
        self.forwarders: dict[str, RecordForwarder] = {}
        self.followers: dict[str, Follower] = {}
        self._began: dict[str, float] = {}

    def began(self, name: str) -> None:
        """Note that Tune has started a trial."""
        self._began[name] = time.monotonic()
        self.book.set(self.book.named(name), "running")

    def ended(self, name: str) -> None:
        """Note that a trial was completed, or was stopped early."""
        trial = self.book.named(name)
        if is_asked_to_stop(self.book.folder_of(trial)):
            return  # The trial resumes with the sweep.
        evaluations = [record for record in self._records(trial) if record.kind == "evaluation"]
        if not evaluations:  # A scheduler stops a trial only after one.
            self.failed(name, "it ended without a validation, and Ray does not say why")
            return
        last = evaluations[-1]
        is_complete = last.step >= last.total
        self.book.set(trial, "finished" if is_complete else "stopped")
        value, early = self.value_of(trial), "" if is_complete else f"stopped early, at step {last.step} of {last.total}, "
        reached = "" if value is None else f"{self.metric.label or self.metric.name} {self.metric.format(value)}"
        self._say(trial, f"{early}{reached}".removesuffix(", "))

    def failed(self, name: str, reason: str) -> None:
        """Note that a trial raised an error, and why."""
        trial = self.book.named(name)
        if is_asked_to_stop(self.book.folder_of(trial)):
            return  # The trial saved early and ended without the metric, which Tune reports as an error.
        folder = self.book.folder_of(trial)
        if self.has_mistake(trial):
            self.book.set(trial, "failed", (folder / MISTAKE_FILE).read_text(encoding="utf-8"))
        else:
            self.book.set(trial, "lost", noted_loss(folder) or reason)
        self._say(trial, f"{trial.state}: {trial.reason}")

    def _say(self, trial: Trial, how: str) -> None:
        """Print how a trial has ended, and how many have."""
        count = len(self.book.done) + len(self.book.failed)
        took = duration(time.monotonic() - self._began[trial.name]) if trial.name in self._began else ""
        done = f"{count} of {self.total} done" + (f", {took}" if took else "")
        self.context.run.tracker.reporter.print(
            f"  {self.context.step.name}: {escape(f'{trial.name}: {how}')}  [dim]({done})[/]"
        )

    def has_mistake(self, trial: Trial) -> bool:
        """Return whether a trial ended by its own mistake."""
        return (self.book.folder_of(trial) / MISTAKE_FILE).is_file()

    def ask_to_stop(self) -> list[str]:
        """Make all running trials save and end, and return their names."""
        running = [trial for trial in self.book.trials if trial.state == "running"]
        for trial in running:
            ask_to_stop(self.book.folder_of(trial))
        return [trial.name for trial in running]

    def values_of(self, trial: Trial) -> list[float]:
        """Return the deciding metric at every validation of a trial."""
        return [
            r.values[self.metric.name] for r in self._records(trial) if r.kind == "evaluation" and self.metric.name in r.values
        ]

    def value_of(self, trial: Trial) -> float | None:
        """Return the best value of a trial so far; None if it has none."""
        return (min if self.metric.lower_is_better else max)(self.values_of(trial), default=None)

    def _records(self, trial: Trial) -> list[Record]:
        return [record for record in read_records(self.book.folder_of(trial)) if record.step > 0]  # Step 0 is zero-shot.

    def poll(self) -> None:
        """Forward new records, and update the live line."""
        for trial in list(self.book.trials):
            if trial.state == "waiting":
                continue
            if trial.name not in self.runs:
                self.runs[trial.name] = self._run_of(trial)
                self.forwarders[trial.name] = RecordForwarder(self.context, trial.name, self.runs[trial.name])
                self.followers[trial.name] = Follower(self.book.folder_of(trial))
            self.forwarders[trial.name].all(self.followers[trial.name])
        self._show()

    def _show(self) -> None:
        latest = [forwarder.latest for forwarder in self.forwarders.values() if forwarder.latest is not None]
        if latest:
            running = sum(trial.state == "running" for trial in self.book.trials)
            # A trial that was stopped early counts as complete; one that has not begun is assumed to be as long as the others.
            done = sum(
                forwarder.latest.total
                if self.book.named(name).state in ("stopped", "failed", "lost")
                else forwarder.latest.step
                for name, forwarder in self.forwarders.items()
                if forwarder.latest is not None
            )
            total = sum(record.total for record in latest) + latest[0].total * (self.total - len(latest))
            steps = [
                (step.seconds, name, step.values)
                for name, forwarder in self.forwarders.items()
                if (step := forwarder.latest_step) is not None and self.book.named(name).state == "running"
            ]
            _, trial, figures = max(steps, key=lambda step: step[0], default=(0.0, "", {}))
            self.context.line.update(f"{self.total} trials ({running} running) step", done, total, figures, trial)

    def _run_of(self, trial: Trial) -> RunRecorder:
        """Open the MLflow run of a trial; after an interruption of the sweep it is the same one again."""
        context = self.context
        color = color_of_run(self.book.trials.index(trial))  # It is another for each, also after an interruption.
        tags = {"cosa.stage": context.step.name, STAGE_KIND: TRIAL, COLOR_TAG: color}
        note = self.book.folder_of(trial) / RUN_NOTE
        run = context.run.tracker.new_run(name_of_run(context.step.name, trial.parameters), context.run, tags, note)
        # All parameters are recorded, so that trials can also be compared with those of other stages and experiments.
        run.params({**params_of(context.step, "sweep"), **trial.parameters})
        return run


def _check_ends(context: Context, book: TrialBook, total: int) -> None:
    failed = book.failed
    lost = [trial for trial in book.trials if trial.state == "lost"]
    if lost:
        which = "; ".join(f"{trial.name}: {trial.reason}" for trial in lost)
        raise WorkersLostError(
            f"{len(lost)} of {total} trials {'were' if len(lost) > 1 else 'was'} lost, and the sweep is incomplete without; "
            f"{len(book.done)} {'are' if len(book.done) != 1 else 'is'} done and will not run again ({which})"
        )
    if len(book.done) + len(failed) < total:
        raise KeyboardInterrupt
    if not book.done:
        which = f"all {total} trials" if total > 1 else "the only trial"
        raise UserError(f"{which} of the sweep failed; {failed[0].name}: {failed[0].reason}")
    for trial in failed:
        context.run.tracker.reporter.warn(f"trial {trial.name} of {context.step.name} failed and is left out: {trial.reason}")
