"""Checks whether global batches can be split over the workers, for every number of workers that is possible."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from cosa.errors import UserError
from cosa.objectives.all_objectives import OBJECTIVES
from workflows.spec.experiment import Experiment
from workflows.spec.machine import cores, most_gpus
from workflows.spec.place import FieldPath
from workflows.spec.problems import Problem
from workflows.spec.sections import ClusterSection, StageSection
from workflows.spec.stage_kind import Report
from workflows.spec.stage_kinds import kind_of


def batch_problem(size: int, objectives: tuple[str, ...], workers: int, parts: int = 1) -> str | None:
    """Say why a global batch cannot be split over the workers, and on each worker into parts, for every objective.

    Returns:
        a message; None if it can be split.
    """
    if size % workers:
        return f"{size} cannot be split evenly over {workers} workers; choose a multiple of {workers}"
    if size % (workers * parts):
        return (
            f"{size} cannot be split evenly over {workers} worker{'s' if workers > 1 else ''} with accumulate: {parts}; "
            f"choose a multiple of {workers * parts}"
        )
    problems = (OBJECTIVES[objective].batch_problem(size, workers) for objective in objectives)
    return next((problem for problem in problems if problem is not None), None)


def workers_without_gpus(cpus: int, cpus_per_worker: int) -> int:
    """Return how many workers `cluster.workers: auto` stands for where there are no GPUs."""
    return min(2, max(1, cpus // cpus_per_worker))


def _known_workers(cluster: ClusterSection) -> int | None:
    """Return the number of workers of a stage that does not say it; None if only the cluster tells."""
    wanted = cluster.max_workers or cluster.workers
    if wanted != "auto":
        return wanted
    uses_gpus = cluster.gpus_per_worker not in (0, "auto") or (cluster.gpus_per_worker == "auto" and most_gpus() != 0)
    if cluster.address != "local" or uses_gpus:
        return None
    return workers_without_gpus(cluster.cpus or cores(), cluster.cpus_per_worker)


def check_batch(name: str, section: StageSection, workers: int) -> None:
    """Raise UserError if the global batches of a stage cannot be split over the workers, and on each worker into the parts that
    it accumulates, so that every objective works."""
    for path, problem in _indivisible(name, section, workers):
        raise UserError(f"{'.'.join(map(str, path))}: {problem}")


def _indivisible(name: str, section: StageSection, workers: int) -> Iterator[tuple[FieldPath, str]]:
    """Yield the fields of global batches of a stage that cannot be split over the workers, and why."""
    for field, size, objectives, parts in kind_of(section).batches(section):
        problem = batch_problem(size, objectives, workers, parts)
        if problem is not None:
            yield ("stages", name, *field), problem


def batch_problems(experiment: Experiment, stages: Mapping[str, StageSection]) -> Iterator[Problem]:
    """Yield the batches of stages, and of the trials of their sweeps, that the workers cannot split.

    Where only the cluster tells how many workers there will be, batches are checked for one. Those that a sweep draws from a
    range are checked when it starts.
    """
    for name, stage in stages.items():
        kind = kind_of(stage)
        workers = kind.workers(stage) or _known_workers(experiment.section.cluster) or 1
        swept, found = kind.swept(stage), dict[str, FieldPath]()
        for section in kind.with_batches_of_trials(stage):
            for path, problem in _indivisible(name, section, workers):
                field = path[2]
                is_of_trial = field in swept
                found.setdefault(problem, ("stages", name, "sweep", field) if is_of_trial else path)
        for problem, path in found.items():
            place = experiment.source.find(path) if experiment.source is not None else None
            yield Problem(f"{'.'.join(map(str, path))}: {problem}", place)


def check_elastic(cluster: ClusterSection, stages: Mapping[str, StageSection], report: Report) -> None:
    """Report stages that cannot continue with every number of workers that the cluster section allows."""
    if cluster.min_workers is None or cluster.max_workers is None:
        return
    counts = range(cluster.min_workers, cluster.max_workers + 1)
    for name, stage in stages.items():
        kind = kind_of(stage)
        batches = list(kind.batches(stage))
        if not batches or kind.workers(stage) is not None:
            continue
        if kind.swept(stage):
            report(
                f"trials run side by side and need a fixed number of workers: set stages.{name}.workers, or cluster.workers "
                "instead of min_workers and max_workers",
                "stages", name, "sweep",
            )  # fmt: skip
        for field, size, objectives, parts in batches:
            found = (batch_problem(size, objectives, count, parts) for count in counts)
            problem = next((problem for problem in found if problem is not None), None)
            if problem is not None:
                suits_all = math.lcm(*counts)
                advice = f"a multiple of {suits_all} suits all" if size % suits_all else "lower cluster.max_workers"
                report(
                    f"{problem} (cluster.min_workers and max_workers allow {counts[0]} to {counts[-1]}: {advice})",
                    "stages", name, *field,
                )  # fmt: skip
