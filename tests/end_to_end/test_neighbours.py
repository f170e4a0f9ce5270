"""What other users of the machine, and other machines, can reach of a Ray that was started here."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.commands import ROOT

pytestmark = pytest.mark.slow

NOBODY = 65534
# A driver that has started Ray, and two workers that talk to each other; it says where things are, and ends at a line of input.
DRIVER = """
import os, sys
from workflows.cluster.ray_cluster import Cluster
from workflows.execution.fit import trainer_of
from workflows.spec.sections import ClusterSection
cluster = Cluster(ClusterSection(cpus=2), print)
cluster.start()
import ray, tempfile, threading
from tests.end_to_end.test_neighbours import wait_together
needed = cluster.resources_for(2)
release = tempfile.mktemp()
trainer = trainer_of(wait_together, {"release": release}, needed, name="n", storage=tempfile.mkdtemp())
thread = threading.Thread(target=trainer.fit)
thread.start()
while not os.path.exists(release + ".ready"):
    thread.join(0.2)
    assert thread.is_alive()
print(os.environ["RAY_TMPDIR"], flush=True)
input()
open(release, "w").close()
thread.join()
cluster.stop()
"""

# Asks the dashboard without any library; prints the status of the answer.
ASK = """
import json, sys, urllib.error, urllib.request
address, token, *job = sys.argv[1:]
request = urllib.request.Request(address + "/api/jobs/", json.dumps({"entrypoint": job[0]}).encode() if job else None)
request.add_header("Content-Type", "application/json")
request.add_header("Authorization", "Bearer " + token)
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@dataclass(frozen=True)
class Driver:
    """A process that has started Ray. folder: of its session. dashboard: its address."""

    process: psutil.Process
    home: Path
    folder: Path
    dashboard: str

    @property
    def token(self) -> str:
        return (self.home / ".ray" / "auth_token").read_text()


def wait_together(config: dict[str, str]) -> None:
    """Run in a worker: say that all have met, and wait for a file."""
    import time

    import torch
    from torch import distributed

    distributed.all_reduce(torch.ones(1))
    Path(config["release"] + ".ready").touch()
    while not Path(config["release"]).exists():
        time.sleep(0.1)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    """A driver whose home others may enter, and whose umask is as open as can be."""
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755)
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER], cwd=ROOT, env=environment, umask=0, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        dashboard = process.stdout.readline().strip()
        folder = Path(process.stdout.readline().strip())
        yield Driver(psutil.Process(process.pid), home, folder, dashboard)
        process.communicate("\n", timeout=60)
    assert not folder.exists()
    shutil.rmtree(home)


def test_everything_listens_on_this_machine_alone(driver: Driver) -> None:
    process = driver.process
    listening = [
        (p.name(), connection.laddr.ip)
        for p in (process, *process.children(recursive=True))
        for connection in p.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
    open_to_all = [name for name, ip in listening if ip not in ("127.0.0.1", "::ffff:127.0.0.1", "::1")]
    # PyTorch's TCPStore, by which the workers of a training find each other, takes no address to listen on (docs/cluster.md).
    assert open_to_all == ["ray::RayTrainWorker"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("what", [".ray", ".ray/auth_token"])
def test_another_user_cannot_read_the_token(driver: Driver, what: str) -> None:
    assert as_nobody("ls", str(driver.home)).returncode == 0
    assert as_nobody("cat" if what.endswith("token") else "ls", str(driver.home / what)).returncode != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_enter_the_folder_of_the_session(driver: Driver) -> None:
    assert (driver.folder / "ray" / "session_latest" / "sockets" / "raylet").exists()
    for path in (driver.folder, driver.folder / "ray", driver.folder / "ray" / "session_latest" / "logs"):
        assert as_nobody("ls", str(path)).returncode != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("token", ["", "0" * 64])
def test_another_user_cannot_submit_a_job(driver: Driver, token: str) -> None:
    assert ask(driver, token, "id") in ("401", "403")
    assert ask(driver, token) in ("401", "403")
    assert ask(driver, driver.token) == "200"  # It is the token's doing.


def ask(driver: Driver, *words: str) -> str:
    return as_nobody("python3", "-c", ASK, driver.dashboard, *words).stdout.strip()


def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", env={"PATH": "/usr/bin:/bin"}, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
