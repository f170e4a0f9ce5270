"""A sweep over learning rates in Ray Tune: every trial is a Ray Train run; the best one's checkpoint is the result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cosa.errors import UserError
from workflows.cluster import WorkerResources
from workflows.spec.sections import SweepSection
from workflows.stages.context import StageContext, StageOutcome
from workflows.stages.fit import fit_in_background, trainer_of
from workflows.stages.plots import plot_curves, plot_sweep
from workflows.stages.progress import Follower, Record, best_evaluation, read_records
from workflows.stages.train import (
    RAY_FOLDER,
    RecordForwarder,
    check_batch,
    job_of,
    keep_checkpoint,
    run_name,
    selection_metric,
    training_outcome,
)

TRIALS_FOLDER = "trials"


def sweep(context: StageContext) -> StageOutcome:
    """Run all trials, as many at once as the cluster holds, and keep the best checkpoint over all of them."""
    settings: SweepSection = context.section.sweep
    context.line.update("starting Ray")
    resources = context.cluster.resources_for(context.section.workers)
    check_batch(context, resources.workers)
    trials = {trial_name(rate): rate for rate in settings.learning_rate}
    runs = {
        name: context.run.tracker.new_run(f"{context.step.name} {name}", context.run, {"cosa.stage_kind": "trial"})
        for name in trials
    }
    for name, rate in trials.items():
        runs[name].params({"learning_rate": rate})
    followers = _Followers(context, {name: RecordForwarder(context, run=runs[name]) for name in trials})
    tuner = _tuner(context, settings, resources, trials)
    context.line.update(f"starting {len(trials)} trials")
    grid = fit_in_background(tuner, followers.poll)
    _check_complete(context, grid, trials, followers)
    return _best_trial(context, settings, trials, runs)


def trial_name(learning_rate: float) -> str:
    """Short name of a trial: its folder, its run in Ray and MLflow."""
    return f"lr-{learning_rate:g}"


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
        "storage": str(context.folder / RAY_FOLDER),
        "prefix": run_name(context),
        "score": metric,
        "mode": mode,
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
            max_concurrent_trials=settings.max_concurrent or concurrent_trials(resources, len(trials)),
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
    import ray

    total = ray.cluster_resources()
    by_cpu = int(total.get("CPU", 1) // (resources.workers * resources.cpus))
    by_gpu = int(total.get("GPU", 0) // (resources.workers * resources.gpus)) if resources.gpus else by_cpu
    return max(1, min(by_cpu, by_gpu, trials))


def run_trial(config: dict[str, Any]) -> None:
    """One trial, in a Ray Tune actor: a Ray Train run whose reports go on to Tune."""
    from ray.tune.integration.ray_train import TuneReportCallback

    trainer_of(
        config["jobs"][config["trial"]],
        config["resources"],
        name=f"{config['prefix']}-{config['trial']}",
        storage=Path(config["storage"]),
        score=config["score"],
        mode=config["mode"],
        callbacks=[TuneReportCallback()],
    ).fit()


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


def _check_complete(context: StageContext, grid: Any, trials: dict[str, float], followers: _Followers) -> None:
    """Tune returns normally after Ctrl-C and after failed trials: look at what is really there."""
    followers.poll()
    if len(grid) < len(trials):
        raise KeyboardInterrupt
    failed = [str(result.error).strip().splitlines()[-1] for result in grid if result.error is not None]
    if len(failed) == len(trials):
        raise UserError(f"all {len(trials)} trials of {context.step.name} failed; the first with: {failed[0]}")
    for line in failed:
        context.run.tags({"cosa.failed_trial": line[:200]})
        context.run.tracker.reporter.warn(f"a trial of {context.step.name} failed: {line}")


def _best_trial(context: StageContext, settings: SweepSection, trials: dict[str, float], runs: dict[str, Any]) -> StageOutcome:
    metric = str(selection_metric(context))
    records: dict[str, list[Record]] = {}
    best: dict[str, Record] = {}
    for name in trials:
        records[name] = read_records(context.folder / TRIALS_FOLDER / name)
        found = best_evaluation(records[name], metric, settings.mode)
        runs[name].end("FINISHED" if found else "FAILED")
        if found is not None:
            best[name] = found
    sign = 1 if settings.mode == "max" else -1
    winner = max(best, key=lambda name: sign * best[name].values[metric])
    table = [
        {"trial": name, "learning_rate": trials[name], "step": r.step, "steps": r.total, **r.values} for name, r in best.items()
    ]
    (context.folder / "trials.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    points = {trials[name]: record.values[metric] for name, record in best.items()}
    plot_sweep(points, metric, context.folder / "sweep.png", title=context.step.name)
    plot_curves(records[winner], context.folder / "curves.png", title=f"{context.step.name} {winner}")
    run = context.folder / RAY_FOLDER / f"{run_name(context)}-{winner}"
    keep_checkpoint(run, best[winner].step, context.folder)
    shutil.copy2(context.folder / TRIALS_FOLDER / winner / "progress.jsonl", context.folder / "progress.jsonl")
    shutil.rmtree(context.folder / RAY_FOLDER)
    values = " ".join(f"{trials[name]:g}: {record.values[metric]:.1f}" for name, record in best.items())
    context.run.params({"best_learning_rate": trials[winner]})
    outcome = training_outcome(context, records[winner], best[winner], extra=f"; {winner} of ({values})")
    outcome.details |= {"best_learning_rate": trials[winner], "trials": table}
    return outcome
