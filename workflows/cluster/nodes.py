"""Machines of a cluster: says what they have room for, and checks that they see the folders that all of them need."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosa.errors import UserError, last_line
from workflows.spec.experiment import Experiment
from workflows.spec.stage_kinds import kind_of

ANSWER_SECONDS = 180.0  # A machine has to unpack the program and start a process within this time.


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    node_id: str
    address: str
    cpus: float
    gpus: float

    def room_for(self, cpus: float, gpus: float) -> int:
        """Return how many workers of this size fit."""
        by_cpu = int(self.cpus / cpus)
        return min(by_cpu, int(self.gpus / gpus)) if gpus else by_cpu


def alive_nodes() -> list[Node]:
    """Return the machines that are alive now."""
    import ray

    return [
        Node(node["NodeID"], node["NodeManagerAddress"], node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
        for node in ray.nodes()
        if node["Alive"]
    ]


def shared_paths(experiment: Experiment) -> list[str]:
    """The user's own files and folders that stages read on any machine, absolute; those that are not here are left out."""
    datasets = experiment.section.datasets
    found = [
        path
        for stage in experiment.stages.values()
        for read in kind_of(stage).reads(stage, datasets)
        for path in read.paths(experiment.section)
    ]
    absolute = dict.fromkeys(str(path.expanduser().absolute()) for path in found)
    return [path for path in absolute if Path(path).exists()]


def check_nodes(storage: Path, paths: Sequence[str]) -> None:
    """Let every machine look for a file that was just written to the storage, and for paths of the user.

    Raises:
        UserError: one of them does not see something, cannot load the program, or does not answer; the message names it.
    """
    marker = storage / f".seen-by-all-{uuid.uuid4().hex}"
    marker.touch()
    try:
        for node, missing in _answers([str(marker), *paths]):
            if missing:
                what = str(storage) if missing[0] == str(marker) else missing[0]
                raise UserError(
                    f"cluster: node {node.address} ({node.node_id[:12]}) does not see {what}; storage and data must be on a "
                    "file system that all nodes have mounted at the same place (docs/cluster.md)"
                )
    finally:
        marker.unlink(missing_ok=True)


def _answers(paths: list[str]) -> Iterator[tuple[Node, list[str]]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = alive_nodes()
    task: Any = ray.remote(num_cpus=0, max_retries=0)(missing_paths)
    pending = [
        task.options(
            name=f"look for shared folders on {node.address}",
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False),
        ).remote(paths)
        for node in nodes
    ]
    for node, answer in zip(nodes, pending, strict=True):
        where = f"cluster: node {node.address} ({node.node_id[:12]})"
        try:
            yield node, ray.get(answer, timeout=ANSWER_SECONDS)
        except ray.exceptions.GetTimeoutError as error:
            raise UserError(f"{where} did not answer within {ANSWER_SECONDS:.0f} s; look at it in Ray's dashboard") from error
        except ray.exceptions.RayError as error:
            raise UserError(f"{where} cannot run the program: {type(error).__name__}: {last_line(error)}") from error


def missing_paths(paths: Sequence[str]) -> list[str]:
    """Return the paths that this machine does not see."""
    return [path for path in paths if not Path(path).exists()]
