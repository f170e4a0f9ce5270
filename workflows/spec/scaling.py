"""Numbers of workers against global batches: what can be split over how many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from cosa.errors import UserError
from workflows.spec.combinations import Report
from workflows.spec.sections import ClusterSection, FinetuneSection, PretrainSection, StageSection, TrainSection

Batch = tuple[tuple[str | int, ...], int, tuple[str, ...]]


def global_batches(section: TrainSection) -> Iterator[Batch]:
    """Every global batch of a stage that trains: path of its field below the stage, its size, objectives it is used for."""
    if isinstance(section, FinetuneSection):
        yield ("batch_size",), section.batch_size, ("itm",) if section.task == "retrieval" else ()
    elif isinstance(section, PretrainSection):
        for index, corpus in enumerate(section.corpora):
            yield ("corpora", index, "batch_size"), corpus.batch_size, corpus.objectives


def batch_problem(size: int, objectives: tuple[str, ...], workers: int, parts: int = 1) -> str | None:
    """Why a global batch cannot be split over the workers, and in each into parts, for every objective; None if it can.

    Matching needs a negative: two samples; on concatenated samples a worker matches a third of its part.
    """
    if size % workers:
        return f"{size} cannot be split evenly over {workers} workers; choose a multiple of {workers}"
    if size % (workers * parts):
        return (
            f"{size} cannot be split evenly over {workers} worker{'s' if workers > 1 else ''} with accumulate: {parts}; "
            f"choose a multiple of {workers * parts}"
        )
    if "itm" in objectives and size < 2:
        return f"{size} is too small for matching (itm), which needs another sample as a negative; at least 2"
    if "citm" in objectives and size // workers < 3:
        return (
            f"{size} is too small for matching on concatenated samples (citm), which uses a third of every worker's part; "
            f"at least {3 * workers} with {workers} worker{'s' if workers > 1 else ''}"
        )
    return None


def check_batch(name: str, section: TrainSection, workers: int) -> None:
    """Raise UserError if the global batches of a stage cannot be split over the workers, and in each into parts that are
    accumulated, so that every objective works."""
    for field, size, objectives in global_batches(section):
        problem = batch_problem(size, objectives, workers, section.accumulate)
        if problem is not None:
            raise UserError(f"stages.{name}.{'.'.join(map(str, field))}: {problem}")


def check_batches(cluster: ClusterSection, stages: Mapping[str, StageSection]) -> None:
    """`check_batch` of all stages that will run, before the first one does: with the number of workers that the spec says, or,
    where it follows from the cluster, with one. Trials of a sweep may have other batches; they are looked at when it starts."""
    for name, stage in stages.items():
        if not isinstance(stage, TrainSection):
            continue
        if stage.sweep is not None and {"batch_size", "accumulate"} & set(stage.sweep.fields):
            continue
        workers = stage.workers or cluster.max_workers or cluster.workers
        check_batch(name, stage, 1 if workers == "auto" else workers)


def check_elastic(cluster: ClusterSection, stages: Mapping[str, StageSection], report: Report) -> None:
    """Report stages that cannot go on with every number of workers that the cluster section allows."""
    if cluster.min_workers is None or cluster.max_workers is None:
        return
    counts = range(cluster.min_workers, cluster.max_workers + 1)
    for name, stage in stages.items():
        if not isinstance(stage, TrainSection) or stage.workers is not None:
            continue
        if stage.sweep is not None:
            report(
                f"trials run side by side and need a fixed number of workers: give stages.{name}.workers, or cluster.workers "
                "instead of min_workers and max_workers",
                "stages", name, "sweep",
            )  # fmt: skip
        for field, size, objectives in global_batches(stage):
            problem = next(
                (p for count in counts if (p := batch_problem(size, objectives, count, stage.accumulate)) is not None), None
            )
            if problem is not None:
                advice = (
                    f"a multiple of {math.lcm(*counts)} suits all" if size % math.lcm(*counts) else "lower cluster.max_workers"
                )
                report(
                    f"{problem} (cluster.min_workers and max_workers allow {counts[0]} to {counts[-1]}: {advice})",
                    "stages", name, *field,
                )  # fmt: skip
