"""A sweep over learning rates in Ray Tune: every trial is a Ray Train run; the best one's checkpoint is the result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cosa.errors import UserError
from workflows.cluster import WorkerResources, groups_that_fit
from workflows.nodes import alive_nodes
from workflows.spec.sections import SweepSection
from workflows.stages.checkpoint_storage import RAY_FOLDER, remove_checkpoints
from workflows.stages.checkpoints import keep_checkpoint, keep_others, whole_checkpoints
from workflows.stages.context import RUN_NOTE, OtherCheckpoints, StageContext, StageOutcome, params_of
from workflows.stages.fit import fit_in_background, trainer_of
from workflows.stages.plots import plot_curves, plot_sweep
from workflows.stages.progress import Follower, Record, best_evaluation, read_records
from workflows.stages.run_folder import RunFolder
from workflows.stages.train import (
    CHECKPOINT_FOLDER,
    RecordForwarder,
    check_batch,
    further_steps,
    job_of,
    run_name,
    selection_metric,
    storage_of,
    training_outcome,
    uploaded_checkpoints,
)
from workflows.stages.whereabouts import noted_workers
from workflows.stages.workers import MISTAKE_FILE, raise_mistake, training_worker
from workflows.tracking import STAGE_KIND, RunRecorder

TRIALS_FOLDER = "trials"


def sweep(context: StageContext) -> StageOutcome:
    """Run all trials, as many at once as the cluster holds, and keep the best checkpoint over all of them."""
    settings: SweepSection = context.section.sweep
    context.line.update("starting Ray")
    resources = context.cluster.resources_for(context.section.workers)
    check_batch(context, resources.workers)
    trials = {trial_name(rate): rate for rate in settings.learning_rate}
    runs = {name: _trial_run(context, name, rate) for name, rate in trials.items()}
    followers = _Followers(context, {name: RecordForwarder(context, run=runs[name]) for name in trials})
    tuner = _tuner(context, settings, resources, trials)
    context.line.update(f"starting {len(trials)} trials")
    try:
        grid = fit_in_background(tuner, followers.poll)
        failed = _failed_trials(context, grid, trials, followers)
    except BaseException as error:
        for run in runs.values():
            run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    return _best_trial(context, settings, trials, runs, failed)


def _trial_run(context: StageContext, name: str, learning_rate: float) -> RunRecorder:
    """The MLflow run of a trial; the same one again if the sweep was interrupted."""
    folder = context.folder / TRIALS_FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    tags = {"cosa.stage": context.step.name, STAGE_KIND: "trial"}
    run = context.run.tracker.new_run(f"{context.step.name} {name}", context.run, tags, folder / RUN_NOTE)
    # All of them, so that trials can also be compared with those of other stages and experiments.
    run.params({**params_of(context.step, context.seed, "sweep"), "learning_rate": learning_rate})
    return run


def trial_name(learning_rate: float) -> str:
    """Short name of a trial: its folder, its run in Ray and MLflow. Different rates have different names."""
    return f"lr-{learning_rate!r}"


def _tuner(context: StageContext, settings: SweepSection, resources: WorkerResources, trials: dict[str, float]) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    metric, mode = selection_metric(context), settings.mode
    jobs = {
        name: {"job": job_of(context, context.folder / TRIALS_FOLDER / name, learning_rate=rate, sweep=None)}
        for name, rate in trials.items()
    }
    space = {
        "trial": tune.grid_search(list(trials)),
        "jobs": jobs,
        "resources": resources,
        "storage": storage_of(context),
        "prefix": run_name(context),
        "score": metric,
        "mode": mode,
        "keep_all": uploaded_checkpoints(context) == "all",
    }
    scheduler = None
    if settings.scheduler == "asha":
        evaluations = max(1, context.section.evaluations_per_run)
        scheduler = ASHAScheduler(time_attr="training_iteration", max_t=evaluations, grace_period=1, reduction_factor=2)
    return tune.Tuner(
        # The trial itself only waits for its workers: it must not take a CPU from them.
        tune.with_resources(run_trial, {"node:__internal_head__": 0.001}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric=metric,
            mode=mode,
            scheduler=scheduler,
            max_concurrent_trials=min(settings.max_concurrent or len(trials), concurrent_trials(resources, len(trials))),
            trial_dirname_creator=lambda trial: trial.config["trial"],
            trial_name_creator=lambda trial: trial.config["trial"],
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(context.folder / RAY_FOLDER), verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )  # fmt: skip


def concurrent_trials(resources: WorkerResources, trials: int) -> int:
    """How many trials fit into the cluster at once."""
    return max(1, min(groups_that_fit(resources, alive_nodes()), trials))


def run_trial(config: dict[str, Any]) -> None:
    """One trial, in a Ray Tune actor: a Ray Train run whose evaluations go on to Tune."""
    from ray.tune.integration.ray_train import TuneReportCallback

    class ReportEvaluations(TuneReportCallback):
        """Checkpoints between evaluations come without the metric, which Tune insists on."""

        def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
            if config["score"] in metrics[0]:
                super().after_report(run_context, metrics, checkpoint)

    trainer_of(
        training_worker,
        config["jobs"][config["trial"]],
        config["resources"],
        name=f"{config['prefix']}-{config['trial']}",
        storage=config["storage"],
        score=config["score"],
        mode=config["mode"],
        keep_all=config["keep_all"],
        callbacks=[ReportEvaluations()],
    ).fit()
    raise_mistake(Path(config["jobs"][config["trial"]]["job"]["folder"]))


class _Followers:
    """Follows all trials' progress; the live line shows them together."""

    def __init__(self, context: StageContext, forwarders: dict[str, RecordForwarder]):
        self.context, self.forwarders = context, forwarders
        self.files = {name: Follower(context.folder / TRIALS_FOLDER / name) for name in forwarders}

    def poll(self) -> None:
        """Forward what is new."""
        for name, follower in self.files.items():
            for record in follower.new():
                self.forwarders[name](record)
        latest = [forwarder.latest for forwarder in self.forwarders.values() if forwarder.latest is not None]
        if latest:
            done, total = sum(record.step for record in latest), latest[0].total * len(self.forwarders)
            running = sum(record.step < record.total for record in latest)
            figures = next((r.values for r in reversed(latest) if "loss" in r.values), {})
            self.context.line.update(f"{len(self.forwarders)} trials ({running} running) step", done, total, figures)


def _failed_trials(context: StageContext, grid: Any, trials: dict[str, float], followers: _Followers) -> dict[str, str]:
    """Why trials failed, by name. Tune returns normally after Ctrl-C and after failed trials: look at what is really there.

    Raises:
        KeyboardInterrupt: trials are missing.
        UserError: all trials failed.
    """
    followers.poll()
    if len(grid) < len(trials):
        raise KeyboardInterrupt
    failed = {}
    for result in grid:
        if result.error is not None:
            mistake = context.folder / TRIALS_FOLDER / result.config["trial"] / MISTAKE_FILE
            told = mistake.read_text(encoding="utf-8") if mistake.is_file() else str(result.error).strip().splitlines()[-1]
            failed[result.config["trial"]] = told
    if len(failed) == len(trials):
        first = next(iter(failed))
        raise UserError(f"all {len(trials)} trials of the sweep failed; {first}: {failed[first]}")
    for name, line in failed.items():
        context.run.tracker.reporter.warn(f"trial {name} of {context.step.name} failed and is left out: {line}")
    return failed


def _best_trial(
    context: StageContext, settings: SweepSection, trials: dict[str, float], runs: dict[str, Any], failed: dict[str, str]
) -> StageOutcome:
    metric = str(selection_metric(context))
    records: dict[str, list[Record]] = {}
    best: dict[str, Record] = {}
    kept: dict[str, dict[int, str]] = {}
    storage, warn = storage_of(context), context.run.tracker.reporter.warn
    folders = {name: RunFolder.at(storage, f"{run_name(context)}-{name}") for name in trials}
    for name in trials:
        records[name] = read_records(context.folder / TRIALS_FOLDER / name)
        kept[name] = whole_checkpoints(folders[name], warn)
        found = best_evaluation(records[name], metric, kept[name], settings.mode) if name not in failed else None
        runs[name].end("FINISHED" if found else "FAILED", records[name][-1].seconds if records[name] else None)
        if found is not None:
            best[name] = found
            runs[name].metrics({f"final/{measured}": value for measured, value in found.values.items()})
    if not best:
        raise UserError(f"no trial left a whole checkpoint; start again by --force {context.step.name}")
    sign = 1 if settings.mode == "max" else -1
    winner = max(best, key=lambda name: sign * best[name].values[metric])
    runs[winner].tags({"cosa.best_trial": "yes"})
    table = [
        {"trial": name, "learning_rate": trials[name], "step": r.step, "steps": r.total, **r.values} for name, r in best.items()
    ]
    (context.folder / "trials.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    points = {trials[name]: record.values[metric] for name, record in best.items()}
    plot_sweep(points, metric, context.folder / "sweep.png", title=context.step.name)
    plot_curves(records[winner], context.folder / "curves.png", title=f"{context.step.name} {winner}")
    keep_checkpoint(folders[winner], kept[winner][best[winner].step], context.folder / CHECKPOINT_FOLDER)
    shutil.copy2(context.folder / TRIALS_FOLDER / winner / "progress.jsonl", context.folder / "progress.jsonl")
    for name in trials:
        (context.folder / TRIALS_FOLDER / name / RUN_NOTE).unlink(missing_ok=True)
    values = " ".join(f"{trials[name]:g}: {record.values[metric]:.1f}" for name, record in best.items())
    context.run.params({"best_learning_rate": trials[winner]})
    outcome = training_outcome(context, records[winner], best[winner], extra=f"; {winner} of ({values})")
    workers = noted_workers(context.folder / TRIALS_FOLDER / winner)
    outcome.details |= {"best_learning_rate": trials[winner], "trials": table, "workers": workers}
    outcome.other_checkpoints = _other_checkpoints(context, folders, records, best, kept, winner, runs)
    if failed:
        outcome.details["failed_trials"] = failed
    remove_checkpoints(context.folder, warn)
    return outcome


def _other_checkpoints(
    context: StageContext,
    folders: dict[str, RunFolder],
    records: dict[str, list[Record]],
    best: dict[str, Record],
    kept: dict[str, dict[int, str]],
    winner: str,
    runs: dict[str, RunRecorder],
) -> list[OtherCheckpoints]:
    """What MLflow should have besides the winner's best: its last one, or all of every trial, each with the trial's run."""
    which = uploaded_checkpoints(context)
    if which != "all":
        others = keep_others(
            folders[winner], kept[winner], further_steps(records[winner], which, best[winner].step), context.folder
        )
        return [OtherCheckpoints(others)] if others is not None else []
    found = []
    for name in best:
        steps = {record.step for record in records[name] if record.kind == "evaluation"}
        others = keep_others(folders[name], kept[name], steps, context.folder / TRIALS_FOLDER / name)
        if others is not None:
            found.append(OtherCheckpoints(others, runs[name]))
    return found
