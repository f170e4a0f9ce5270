"""Checks whether global batches can be split over the workers, for every number of workers that is possible."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cosa.errors import UserError
from cosa.objectives.all_objectives import OBJECTIVES
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


def check_batch(name: str, section: StageSection, workers: int) -> None:
    """Raise UserError if the global batches of a stage cannot be split over the workers, and on each worker into the parts that
    it accumulates, so that every objective works."""
    for field, size, objectives, parts in kind_of(section).batches(section):
        problem = batch_problem(size, objectives, workers, parts)
        if problem is not None:
            raise UserError(f"stages.{name}.{'.'.join(map(str, field))}: {problem}")


def check_batches(cluster: ClusterSection, stages: Mapping[str, StageSection]) -> None:
    """Call `check_batch` for all stages that will run, before the first one does. The number of workers is that of the spec, or
    one where it follows from the cluster. Trials of a sweep may have other batches; those are checked when the sweep starts."""
    for name, stage in stages.items():
        if {"batch_size", "accumulate"}.intersection(kind_of(stage).swept(stage)):
            continue
        workers = kind_of(stage).workers(stage) or cluster.max_workers or cluster.workers
        check_batch(name, stage, 1 if workers == "auto" else workers)


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
