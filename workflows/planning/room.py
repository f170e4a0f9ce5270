"""Says which stages would find no room on this machine, where it alone is to run them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from workflows.planning.step import Step
from workflows.spec.machine import cores, most_gpus
from workflows.spec.sections import ClusterSection, StageSection
from workflows.spec.stage_kinds import kind_of


@dataclass(frozen=True)
class Room:
    """Resources of one kind.

    unit: as Ray calls it. name: as people do. field: of the cluster section. each: what a worker gets. without: what to do if
    there are none.
    """

    unit: str
    name: str
    field: str
    each: float
    available: int
    has: str
    without: str

    def lacking_for(self, field: str, workers: int) -> str | None:
        """Return a line if the workers do not fit; None if they do."""
        needed = workers * self.each
        if needed <= self.available:
            return None
        fitting = int(self.available / self.each)
        if fitting == 0:
            advice = f"lower it to {self.available}" if self.available else self.without
            return f"cluster.{self.field}: a worker gets {_counted(self.each, self.name)}, but {self.has}; {advice}"
        return (
            f"{field}: {workers} workers x {self.each:g} {self.unit} need {_counted(needed, self.name)}, but {self.has}; "
            f"lower it to {fitting}, or leave it out"
        )


def lacking_room(cluster: ClusterSection, stages: Mapping[str, StageSection]) -> Iterator[str]:
    """Yield a line for each number of workers that does not fit. What a cluster has is only known when it is joined."""
    if cluster.address != "local":
        return
    wanted = dict.fromkeys(found for name, stage in stages.items() if (found := _workers_of(name, stage, cluster)) is not None)
    lines = (room.lacking_for(field, workers) for room in _rooms(cluster) for field, workers in wanted)
    yield from dict.fromkeys(line for line in lines if line is not None)


def sections_of(steps: Iterable[Step]) -> dict[str, StageSection]:
    """Return the sections of steps by the names of their stages."""
    return {step.name: step.section for step in steps}


def _rooms(cluster: ClusterSection) -> Iterator[Room]:
    """Yield what this machine has, of everything that is known of it and that workers want."""
    available = cluster.cpus or cores()
    has = f"cluster.cpus is {available}" if cluster.cpus else f"this machine has {_counted(available, 'core')}"
    yield Room("CPU", "core", "cpus_per_worker", cluster.cpus_per_worker, available, has, "")
    gpus, share = most_gpus(), cluster.gpus_per_worker
    if share != "auto" and share > 0 and gpus is not None:
        has = f"this machine has {_counted(gpus, 'GPU') if gpus else 'none'}"
        yield Room("GPU", "GPU", "gpus_per_worker", share, gpus, has, "leave it out: GPUs are used wherever there are any")


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'s' if number > 1 else ''}"


def _workers_of(name: str, section: StageSection, cluster: ClusterSection) -> tuple[str, int] | None:
    """Return the field that says how many workers a stage has at least, and their number; None if it has none."""
    kind = kind_of(section)
    own = kind.workers(section)
    if own is not None:
        return f"stages.{name}.workers", own
    if not any(kind.batches(section)):  # It trains nothing.
        return None
    if cluster.min_workers is not None:
        return "cluster.min_workers", cluster.min_workers
    return "cluster.workers", 1 if cluster.workers == "auto" else cluster.workers
