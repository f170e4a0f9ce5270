"""Ray is started once for a run, only when a stage needs it, and is stopped at the run's end."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from cosa.errors import UserError, last_line
from workflows.cluster.local_ray import LocalRay
from workflows.cluster.login_token import protect_token
from workflows.cluster.nodes import Node, alive_nodes
from workflows.cluster.ray_private import init_ray
from workflows.cluster.ray_watch import RayLostError, RayLostInterrupt, RayWatch, watch_ray
from workflows.cluster.shipping import job_brings_program, packed_program
from workflows.records.local_port import is_free
from workflows.spec.scaling import workers_without_gpus
from workflows.spec.sections import ClusterSection

LONG_SECONDS = 20.0  # After so long a note says what is waited for.
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
        note: Callable[[str], None] = lambda _: None,
    ):
        """on_dashboard: called with the dashboard's address when the cluster has started. on_joined: called when a running
        cluster was joined; it may raise UserError if the cluster does not suit. name: the job's name in the dashboard. note:
        called with what a person should know."""
        self.section, self.name = section, name
        self.on_dashboard, self.on_joined, self.note = on_dashboard, on_joined, note
        self._local: LocalRay | None = None
        self._watch: RayWatch | None = None
        self._started = False
        self._waiting = 0  # It counts the blocks that wait for Ray, of which one may be inside of another.

    def start(self) -> None:
        """Start Ray here or connect to `address`; nothing happens the second time.

        Raises:
            UserError: the address does not answer, the dashboard's port is taken, or Ray does not start.
        """
        if self._started:
            if (lost := self._loss()) is not None:
                raise lost
            return
        loaded = sys.modules.get("ray")  # It reads the variables below when it is loaded.
        if loaded is not None and loaded.is_initialized():
            atexit.register(_end_without_ray, 1)  # It precedes a function that was registered for a run without an error.
            raise UserError("Ray has ended before, and this process cannot start it again; give the same command once more")
        protect_token(self.note, create=not self.is_shared)
        os.environ.update(RAY_ENVIRONMENT)
        previous = signal.getsignal(signal.SIGTERM)
        context = self._join() if self.is_shared else self._start_here()
        signal.signal(signal.SIGTERM, previous)
        self._watch = watch_ray(context, lambda: self._waiting > 0)
        self._started = True
        if context.dashboard_url:
            self.on_dashboard(f"http://{context.dashboard_url}")
        if self.is_shared:
            with self.watched():
                self.on_joined()

    def _start_here(self) -> Any:
        """Start Ray on this machine, with a second try, which a busy machine may need."""
        if self.section.dashboard_port is not None:
            require_free_port(self.section.dashboard_port, "cluster.dashboard_port")
        for is_last in (False, True):
            self._local = LocalRay(self.section)
            try:
                return self._local.start(self.name)
            except Exception as error:
                if is_last:
                    raise self._local.failure(error) from error
                self._local.stop()
                self.note("Ray did not start in time; it is tried once more")
            except BaseException:
                self._local.stop()
                raise
        raise AssertionError("the last try returns or raises")

    def _join(self) -> Any:
        """Connect to a running cluster. Machines without a checkout are sent this program, unless a Ray job brings it."""
        address = self.section.address
        _require_answer(address)
        waits = threading.Timer(LONG_SECONDS, self.note, [f"still waiting for an answer of the cluster at {address}"])
        waits.start()
        try:
            if job_brings_program():
                return init_ray(self.name, address=address)
            with packed_program() as folder:
                return init_ray(self.name, address=address, runtime_env={"working_dir": str(folder)})
        except (ConnectionError, ValueError, RuntimeError) as error:
            why = last_line(error) or type(error).__name__
            raise UserError(f"cluster.address: cannot join {address!r}: {why}") from error
        finally:
            waits.cancel()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turn whatever the block raises because Ray has ended into an error that says so.

        Raises:
            RayLostError: it has.
        """
        self._waiting += 1
        try:
            yield
        except BaseException as error:
            # A person or a scheduler who ends a run may have ended Ray's processes, too.
            is_asked = isinstance(error, KeyboardInterrupt) and not isinstance(error, RayLostInterrupt)
            lost = self._loss() if not is_asked else None
            if lost is None or isinstance(error, RayLostError):
                raise
            raise lost from error
        finally:
            self._waiting -= 1

    def _loss(self) -> RayLostError | None:
        """Say why Ray cannot be used any more; None if it can."""
        reason = self._watch.reason() if self._watch is not None else None
        if reason is None:
            return None
        return RayLostError(f"{reason}; its logs: {self._local.logs}" if self._local is not None else reason)

    def stop(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        if not self._started:
            return
        import ray

        self._started = False
        assert self._watch is not None
        is_lost = self._watch.reason() is not None
        self._watch.end()
        if is_lost:
            self._leave_lost()
        elif self._local is not None:
            self._local.stop()
        else:
            ray.shutdown()

    def _leave_lost(self) -> None:
        """End what is left of a Ray that has lost a process. Its own shutdown would wait, or end this process at once.

        At its end this process gets the code of the error that is being handled, because Ray would crash it.
        """
        assert self._watch is not None
        error = sys.exc_info()[1]
        if error is None:
            self.note(f"{self._loss()}; the work was done already. Give the same command again to be sure")
        atexit.register(_end_without_ray, _exit_code(error))
        if self._local is not None:
            self._watch.end_family()
            self._local.abandon()

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
            workers = max(1, int(gpus / gpu_share)) if gpu_share else workers_without_gpus(cpus, self.section.cpus_per_worker)
        minimum = self.section.min_workers if stage_workers is None else None
        needed = WorkerResources(workers, self.section.cpus_per_worker, gpu_share, minimum, self.section.placement)
        _require_room(needed, nodes)
        return needed


def _exit_code(error: BaseException | None) -> int:
    """Return the code that the command line ends with after an error."""
    if error is None:
        return 0
    return int(getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1))


def _end_without_ray(code: int) -> None:
    """End this process before Ray's own functions for that, which wait for ever, or crash, without Ray's processes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _require_room(needed: WorkerResources, nodes: list[Node]) -> None:
    """Raise UserError if the fewest workers do not fit into the cluster as they have to be placed."""
    count, each = needed.counts[0], f"{needed.cpus} CPU, {needed.gpus:g} GPU"
    cpus, gpus = int(sum(node.cpus for node in nodes)), int(sum(node.gpus for node in nodes))
    advice = "lower cluster.workers, cpus_per_worker or gpus_per_worker"
    if count * needed.cpus > cpus or count * needed.gpus > gpus:
        workers = f"{count} workers x {each} need" if count > 1 else f"a worker of {each} needs"
        raise UserError(f"cluster: {workers} more than the cluster's {cpus} CPU, {gpus} GPU; {advice}")
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
    if not is_free(port):
        raise UserError(f"{field}: port {port} is in use on 127.0.0.1; choose another, or stop what listens there")


def _require_answer(address: str) -> None:
    """Check that anything answers at an address, because Ray retries a dead one for many minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError as error:
        raise UserError(f"cluster.address: nothing answers at {address} ({error}); start it with `ray start --head`") from error
