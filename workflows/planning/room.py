"""Says which stages would find no room on this machine, where it alone is to run them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from workflows.planning.step import Step
from workflows.spec.machine import cores
from workflows.spec.sections import ClusterSection
from workflows.spec.stage_kinds import kind_of


def lacking_room(cluster: ClusterSection, steps: Iterable[Step]) -> Iterator[str]:
    """Yield a line for each number of workers that does not fit. What a cluster has is only known when it is joined."""
    if cluster.address != "local":
        return
    available = cluster.cpus or cores()
    for field, workers in dict.fromkeys(found for step in steps if (found := _workers_of(step, cluster)) is not None):
        needed = workers * cluster.cpus_per_worker
        if needed > available:
            has = (
                f"cluster.cpus is {available}"
                if cluster.cpus
                else f"this machine has {available} core{'s' if available > 1 else ''}"
            )
            fitting = available // cluster.cpus_per_worker
            advice = f"lower it to {fitting}, or leave it out" if fitting else f"lower cluster.cpus_per_worker to {available}"
            count = f"{workers} workers" if workers > 1 else "a worker"
            yield f"{field}: {count} x {cluster.cpus_per_worker} CPU need {needed} cores, but {has}; {advice}"


def _workers_of(step: Step, cluster: ClusterSection) -> tuple[str, int] | None:
    """Return the field that says how many workers a stage has at least, and their number; None if it has none."""
    kind, section = kind_of(step.section), step.section
    own = kind.workers(section)
    if own is not None:
        return f"stages.{step.name}.workers", own
    if not any(kind.batches(section)):  # It trains nothing.
        return None
    if cluster.min_workers is not None:
        return "cluster.min_workers", cluster.min_workers
    return "cluster.workers", 1 if cluster.workers == "auto" else cluster.workers
