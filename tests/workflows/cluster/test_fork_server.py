"""Workers that are forked from a server, without Ray: a script that writes down what it finds stands for Ray's worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from workflows.cluster.fork_server import LOG_FILE, SOCKET_FILE, START_WORKER, ForkServer
from workflows.cluster.start_worker import RAYS_PROGRAM, SOCKET

pytestmark = pytest.mark.slow  # The server imports torch.

WORKER = """
import json, os, signal, sys, numpy
print("this goes to the worker's own output")
found = {
    "words": sys.argv[1:], "name": __name__, "parent": os.getppid(), "session": os.getsid(0) == os.getpid(),
    "variable": os.environ.get("GIVEN"), "job": os.environ.get("RAY_JOB_ID"), "modules": sorted(sys.modules),
    "folder": os.getcwd(), "memory": open("/proc/self/oom_score_adj").read().strip(), "draw": numpy.random.rand(),
    "children": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
}
import ray
found["id"] = ray._raylet.UniqueID.from_random().hex()
path = sys.argv[1].removeprefix("--out=")
with open(path + ".new", "w") as file:
    json.dump(found, file)
os.rename(path + ".new", path)
sys.exit(3)
"""


class Server:
    """A server, and what is needed to ask it."""

    def __init__(self, folder: Path):
        self.folder, self.server = folder, ForkServer(folder)
        self.program = folder / "worker.py"
        self.program.write_text(WORKER)
        self.other = folder / "rays_own.py"
        self.other.write_text("import sys; print(sys.argv[1:])")

    def ask(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Start a worker as Ray does."""
        return subprocess.run(
            [sys.executable, str(START_WORKER), str(self.program), f"--out={self.folder / name}", "--language=PYTHON"],
            env={**os.environ, SOCKET: str(self.folder / SOCKET_FILE), RAYS_PROGRAM: str(self.other), **variables},
            cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def found(self, name: str) -> dict[str, Any]:
        """What a worker has written down."""
        deadline = time.monotonic() + 60
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return json.loads((self.folder / name).read_text())  # type: ignore[no-any-return]

    @property
    def log(self) -> str:
        return (self.folder / LOG_FILE).read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"))
    yield made
    made.server.stop()


def test_a_worker_has_its_own_words_and_variables_and_the_servers_modules(server: Server) -> None:
    asked = server.ask("plain", GIVEN="yes", RAY_JOB_ID="01000000")
    assert asked.returncode == 0
    assert asked.stdout == "this goes to the worker's own output\n"
    found = server.found("plain")
    assert found["words"] == [f"--out={server.folder / 'plain'}"]
    assert found["name"] == "__main__"
    assert found["session"]
    assert found["variable"] == "yes"
    assert found["folder"] == str(server.folder)
    assert found["memory"] == "1000"
    assert found["children"]
    assert {"torch", "cosa.training.building", "workflows.execution.workers"} <= set(found["modules"])


def test_workers_differ_in_their_job_and_in_what_they_draw(server: Server) -> None:
    for name, job in (("one", "ffffffff"), ("two", "01000000")):
        server.ask(name, RAY_JOB_ID=job)
    one, two = server.found("one"), server.found("two")
    assert (one["job"], two["job"]) == ("ffffffff", "01000000")
    assert one["parent"] == two["parent"]
    assert one["draw"] != two["draw"]
    assert one["id"] != two["id"]  # Ray would take two groups of workers for the same.


def test_workers_that_have_ended_are_gone(server: Server) -> None:
    """Ray looks for their numbers."""
    server.ask("ended")
    parent = psutil.Process(server.found("ended")["parent"])
    deadline = time.monotonic() + 10
    while parent.children():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_has_ended_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = ForkServer(tmp_path)
    server._process.kill()
    server._process.wait(10)
    (tmp_path / LOG_FILE).write_text("Traceback ...\nImportError: no timm\n")
    server.stop()
    assert "because the fork server had ended: ImportError: no timm" in caplog.text


def test_the_server_ends_with_its_driver(tmp_path: Path) -> None:
    program = f"import time; from pathlib import Path; from workflows.cluster.fork_server import ForkServer; " \
              f"ForkServer(Path({str(tmp_path)!r})); print('started', flush=True); time.sleep(100)"  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        (server,) = psutil.Process(driver.pid).children()
        driver.kill()
    server.wait(60)  # It raises an error if the server is still there.
