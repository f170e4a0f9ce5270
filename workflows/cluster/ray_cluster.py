"""Ray is started once for a run, only when a stage needs it, and is stopped at the run's end."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosa.errors import UserError
from workflows.cluster.nodes import Node, alive_nodes
from workflows.cluster.ray_private import session_folder, shown_as
from workflows.cluster.shipping import job_brings_program, packed_program
from workflows.records.provenance import command_line
from workflows.spec.sections import ClusterSection

# Ray reads these variables when it starts. They are set here so that a user's shell does not change what a run does.
RAY_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",  # Other users of the machine cannot run code in the cluster.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # report() waits for this poll.
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",  # The dashboard's /api/train then knows the runs.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # Workers stay in the working directory.
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # A trial that saves early, on SIGTERM, must not end the others.
    "RAY_AIR_NEW_OUTPUT": "0",
}
# A Ray that is started here also gets these: its own processes share the cores with the workers, so they look less often.
LOCAL_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # It is a process for every stage that looks for nodes about to be taken away.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "10",
    "REPORTER_UPDATE_INTERVAL_MS": "15000",
    "METRICS_RECORD_INTERVAL_S": "60",  # This is about the dashboard's own processes.
    "RAY_memory_monitor_refresh_ms": "1000",
    "RAY_raylet_report_resources_period_milliseconds": "500",
    "RAY_metrics_report_interval_ms": "60000",  # These metrics are for Prometheus, which nobody runs here.
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_task_events_report_interval_ms": "5000",
    "RAY_event_stats": "0",
}


@dataclass(frozen=True)
class WorkerResources:
    """What the workers of one stage get. minimum: the smallest number that training continues with, if it may change."""

    workers: int
    cpus: int
    gpus: float
    minimum: int | None = None
    placement: str = "pack"

    @property
    def counts(self) -> range:
        """Return all possible numbers of workers."""
        return range(self.workers if self.minimum is None else self.minimum, self.workers + 1)

    @property
    def per_worker(self) -> dict[str, float]:
        """Return the resources of one worker in Ray's form."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}


class Cluster:
    """A Ray cluster that is started or joined on first use."""

    def __init__(
        self,
        section: ClusterSection,
        on_dashboard: Callable[[str], None],
        on_joined: Callable[[], None] = lambda: None,
        name: str = "",
    ):
        """on_dashboard: called with the dashboard's address when the cluster has started. on_joined: called when a running
        cluster was joined; it may raise UserError if the cluster does not suit. name: the job's name in the dashboard."""
        self.section, self.name = section, name
        self.on_dashboard, self.on_joined = on_dashboard, on_joined
        self._session: Path | None = None
        self._started = False

    def start(self) -> None:
        """Start Ray here or connect to `address`; nothing happens the second time.

        Raises:
            UserError: the address does not answer, or the dashboard's port is taken.
        """
        if self._started:
            return
        os.environ.update(RAY_ENVIRONMENT if self.is_shared else RAY_ENVIRONMENT | LOCAL_ENVIRONMENT)
        import ray
        from ray.job_config import JobConfig

        common: dict[str, Any] = {
            "log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True,
            "job_config": JobConfig(metadata={"job_name": self.name}),
        }  # fmt: skip
        previous = signal.getsignal(signal.SIGTERM)
        if not self.is_shared:
            port = self.section.dashboard_port
            if port is not None:
                require_free_port(port, "cluster.dashboard_port")
            extra = {"dashboard_port": port} if port is not None else {}
            # Part of Ray looks for "the" cluster of the machine, gives up when there are two, and then frees no resources of
            # stopped trials. These variables say to all its processes which cluster is theirs.
            own_port = _free_port()
            os.environ["RAY_GCS_SERVER_PORT"] = str(own_port)
            os.environ["RAY_ADDRESS"] = f"{ray.util.get_node_ip_address()}:{own_port}"
            context = _init_ray(
                address="local",
                num_cpus=self.section.cpus,
                include_dashboard=True,  # Tune frees the resources of stopped trials only with it.
                dashboard_host="127.0.0.1",
                **extra,
                **common,
            )
            self._session = session_folder(context)
        else:
            _require_answer(self.section.address)
            context = self._join(common)
        signal.signal(signal.SIGTERM, previous)
        self._started = True
        if context.dashboard_url:
            self.on_dashboard(f"http://{context.dashboard_url}")
        if self.is_shared:
            self.on_joined()

    def _join(self, common: dict[str, Any]) -> Any:
        """Connect to a running cluster. Machines without a checkout are sent this program, unless a Ray job brings it."""
        try:
            if job_brings_program():
                return _init_ray(address=self.section.address, **common)
            with packed_program() as folder:
                return _init_ray(address=self.section.address, runtime_env={"working_dir": str(folder)}, **common)
        except (ConnectionError, ValueError, RuntimeError) as error:
            last_line = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()  # Tracebacks precede it.
            raise UserError(f"cluster.address: cannot join {self.section.address!r}: {last_line}") from error

    def stop(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        if not self._started:
            return
        import ray

        ray.shutdown()
        self._started = False
        if self._session is not None:
            for name in ("RAY_GCS_SERVER_PORT", "RAY_ADDRESS"):
                os.environ.pop(name, None)
            shutil.rmtree(self._session, ignore_errors=True)  # Ray never removes its session folders itself.

    @property
    def is_shared(self) -> bool:
        """Return whether the cluster exists before and after this run."""
        return self.section.address != "local"

    def resources_for(self, stage_workers: int | None) -> WorkerResources:
        """Derive the workers of a stage from the spec and from what the cluster has.

        Raises:
            UserError: the cluster cannot hold them; Ray itself would wait for ever.
        """
        self.start()
        nodes = alive_nodes()
        cpus, gpus = int(sum(node.cpus for node in nodes)), int(sum(node.gpus for node in nodes))
        per_worker_gpu = self.section.gpus_per_worker
        gpu_share = (1.0 if gpus else 0.0) if per_worker_gpu == "auto" else float(per_worker_gpu)
        wanted = stage_workers or self.section.max_workers or self.section.workers
        if wanted != "auto":
            workers = wanted
        else:
            workers = int(gpus / gpu_share) if gpu_share else min(2, max(1, cpus // self.section.cpus_per_worker))
        minimum = self.section.min_workers if stage_workers is None else None
        needed = WorkerResources(workers, self.section.cpus_per_worker, gpu_share, minimum, self.section.placement)
        _require_room(needed, nodes)
        return needed


def _init_ray(**arguments: Any) -> Any:
    """Call `ray.init`. Ray shows a driver's command line to all who see the dashboard, so it gets one without passwords."""
    import ray

    with shown_as(command_line()):
        return ray.init(**arguments)


def _require_room(needed: WorkerResources, nodes: list[Node]) -> None:
    """Raise UserError if the fewest workers do not fit into the cluster as they have to be placed."""
    count, each = needed.counts[0], f"{needed.cpus} CPU, {needed.gpus:g} GPU"
    cpus, gpus = int(sum(node.cpus for node in nodes)), int(sum(node.gpus for node in nodes))
    advice = "lower cluster.workers, cpus_per_worker or gpus_per_worker"
    if count * needed.cpus > cpus or count * needed.gpus > gpus:
        raise UserError(f"cluster: {count} workers x {each} need more than the cluster's {cpus} CPU, {gpus} GPU; {advice}")
    room = [node.room_for(needed.cpus, needed.gpus) for node in nodes]
    if sum(room) < count:
        raise UserError(
            f"cluster: a worker of {each} has to fit on one node, and the {len(nodes)} nodes have room for {sum(room)} "
            f"of {count}; {advice}"
        )
    suitable = sum(workers > 0 for workers in room)
    if needed.placement == "strict_spread" and suitable < count:
        raise UserError(
            f"cluster.placement: strict_spread needs {count} nodes with {each} each; the cluster has {suitable}; "
            "choose spread, or fewer workers"
        )
    if needed.placement == "strict_pack" and max(room) < count:
        raise UserError(
            f"cluster.placement: strict_pack needs one node with room for {count} workers x {each}; the largest has room for "
            f"{max(room)}; choose pack, or fewer workers"
        )


def groups_that_fit(needed: WorkerResources, nodes: list[Node]) -> int:
    """Return how many groups of workers of this kind find room on the nodes at the same time."""
    room = [node.room_for(needed.cpus, needed.gpus) for node in nodes]
    if needed.placement == "strict_pack":
        return sum(workers // needed.workers for workers in room)
    groups = sum(room) // needed.workers
    if needed.placement == "strict_spread":  # A group has at most one worker on a node.
        while groups and sum(min(workers, groups) for workers in room) < groups * needed.workers:
            groups -= 1
    return groups


def require_free_port(port: int, field: str) -> None:
    """Raise UserError if something listens on a local port already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"{field}: port {port} is in use on 127.0.0.1; choose another, or stop what listens there"
            ) from error


def _free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _require_answer(address: str) -> None:
    """Check that anything answers at an address, because Ray retries a dead one for many minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError as error:
        raise UserError(f"cluster.address: nothing answers at {address} ({error}); start it with `ray start --head`") from error
