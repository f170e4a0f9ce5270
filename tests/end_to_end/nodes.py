"""A cluster of real Ray nodes on this machine, each started as on a machine of its own: in an empty folder, by `ray start`."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.end_to_end.commands import MARK, processes_of
from tests.ports import free_port

RAY = str(Path(sys.executable).with_name("ray"))


@dataclass
class Nodes:
    """address: what `cluster.address` takes. dashboard: for `cosa submit --address`. mark: how its processes are known."""

    folder: Path
    temporary: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="cosa-node-")))  # short: sockets lie in it
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port, self.dashboard_port, self.client_port = free_port(), free_port(), free_port()
        self.token = self.folder / "token"
        self.token.write_text("0123456789abcdef" * 4)
        self.token.chmod(0o600)
        self.mark = f"nodes in {self.folder}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a person's shell needs to use the cluster."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}

    def start(self) -> None:
        """A head and one more node, with a core each."""
        self._start(
            "head", "--head", "--port", str(self.port), "--dashboard-host", "127.0.0.1",
            "--dashboard-port", str(self.dashboard_port), "--ray-client-server-port", str(self.client_port),
        )  # fmt: skip
        self._wait(lambda: bool(self.get("/api/version")), "head")
        self._start("second", "--address", self.address)
        self._wait(lambda: self.get("/api/v0/nodes").count('"ALIVE"') == 2, "second")

    def lose_second(self) -> None:
        """kill -9 of the node that is not the head, with its workers, as when its machine fails."""
        node = psutil.Process(self.processes[1].pid)
        for process in [*node.children(recursive=True), node]:
            with suppress(psutil.Error):
                process.kill()

    def replace_second(self) -> None:
        """Another node takes its place."""
        self._start("third", "--address", self.address)

    def _start(self, name: str, *arguments: str) -> None:
        empty = self.folder / name
        empty.mkdir()
        # Not one for both: each unpacks the program anew, and would take the other's working directory away.
        own = self.temporary / name[0]
        own.mkdir()
        kept = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR") if key in os.environ}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.processes.append(
            subprocess.Popen(
                [RAY, "start", *arguments, "--temp-dir", str(own), "--num-cpus", "1", "--object-store-memory", "100000000",
                 "--dashboard-agent-listen-port", str(free_port()), "--block"],
                cwd=empty,
                env={**kept, **self.environment, "PATH": path, "RAY_USAGE_STATS_ENABLED": "0", MARK: self.mark,
                     "RAY_TRAIN_ENABLE_STATE_TRACKING": "1"},
                stdout=(self.folder / f"{name}.log").open("wb"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )  # fmt: skip

    def get(self, path: str) -> str:
        """What the dashboard answers; nothing while it is not there."""
        request = urllib.request.Request(self.dashboard + path, headers={"Authorization": f"Bearer {self.token.read_text()}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return str(response.read().decode())
        except OSError:
            return ""

    def _wait(self, condition: object, name: str, seconds: float = 90) -> None:
        assert callable(condition)
        deadline = time.monotonic() + seconds
        while not condition():
            log = (self.folder / f"{name}.log").read_text()
            assert self.processes[-1].poll() is None, f"node {name} ended:\n{log}"
            assert time.monotonic() < deadline, f"node {name} does not answer:\n{log}"
            time.sleep(0.3)

    def stop(self) -> None:
        """End the nodes that were started here, and remove what they leave."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for process in processes_of(Path(self.mark)):  # small agents linger for a minute
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.temporary, ignore_errors=True)
