"""A Ray of one run on this machine: nobody else can reach it, and nothing of it is left."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

import psutil

from cosa.errors import UserError, last_line
from workflows.cluster.fork_server import SOCKET_FILE, START_WORKER, ForkServer
from workflows.cluster.ray_private import init_ray
from workflows.cluster.session_folder import SessionFolder
from workflows.cluster.start_worker import SOCKET
from workflows.spec.sections import ClusterSection

# Ray's own processes share the cores with the workers, so they look less often.
ENVIRONMENT = {
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
    # All of Ray listens on 127.0.0.1 then, as it does on macOS; on Linux it would listen on all addresses of the machine.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "GLOO_SOCKET_IFNAME": "lo",  # The same for the connections between workers.
}


class LocalRay:
    """One Ray, from its start to its end."""

    def __init__(self, section: ClusterSection):
        """Make its temporary folder, and set the variables that Ray reads. They are taken back in the end.

        Raises:
            UserError: no folder can be made.
        """
        self.section, self.folder = section, SessionFolder()
        # Part of Ray looks for "the" cluster of the machine, gives up when there are two, and then frees no resources of
        # stopped trials. The port and the address say to all its processes which cluster is theirs.
        port = str(_free_port())
        variables = {
            **ENVIRONMENT,
            "RAY_TMPDIR": str(self.folder.path),
            "RAY_GCS_SERVER_PORT": port,
            "RAY_ADDRESS": f"127.0.0.1:{port}",
            SOCKET: str(self.folder.path / SOCKET_FILE),
        }
        self._before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        self._fork_server = ForkServer(self.folder.path)

    def start(self, name: str) -> Any:
        """Start Ray for a job of a name; return what `ray.init` returns."""
        port = self.section.dashboard_port
        return init_ray(
            name,
            worker_program=START_WORKER,
            address="local",
            num_cpus=self.section.cpus,
            include_dashboard=True,  # Tune frees the resources of stopped trials only with it.
            dashboard_host="127.0.0.1",
            **({"dashboard_port": port} if port is not None else {}),
        )

    def failure(self, error: Exception) -> UserError:
        """End what there is of a Ray that did not start, and say what to do. Its logs stay."""
        self._end_processes()
        self.folder.release()
        why = last_line(error) or type(error).__name__
        return UserError(
            f"Ray did not start, twice ({why}); is the machine very busy, or short of memory or of room in "
            f"{self.folder.path.parent}? Ray's logs are in {self.logs}; then give the same command again"
        )

    @property
    def logs(self) -> str:
        """Return where Ray's logs are."""
        return str(self.folder.path / "ray" / "session_latest" / "logs")

    def stop(self) -> None:
        """End it, and remove its folder, which Ray never does."""
        self._end_processes()
        self.folder.remove()

    def abandon(self) -> None:
        """Forget a Ray that has ended by itself, but leave its logs."""
        self._fork_server.stop()
        self._restore()
        self.folder.release()

    def _end_processes(self) -> None:
        import ray

        ray.shutdown()
        self._fork_server.stop()
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder.path) in word for word in process.info["cmdline"] or ()):
                with suppress(psutil.Error):  # It may have ended just now, or be another user's who reads the logs.
                    if self._is_of_ray(process):
                        process.kill()  # It did not end with the others.
        self._restore()

    def _is_of_ray(self, process: psutil.Process) -> bool:
        """Return whether a process descends from this Ray. A person's pager or editor may name a file of the folder, too."""
        return process.environ().get("RAY_TMPDIR") == str(self.folder.path)

    def _restore(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
