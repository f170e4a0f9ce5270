"""Noticing that Ray has ended, with processes that stand for Ray's. No Ray is started."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.ports import free_port
from workflows.cluster import ray_watch
from workflows.cluster.ray_watch import RayLostInterrupt, RayWatch, Unreachable

Watch = Callable[..., RayWatch]

# A process with a child that outlives it, as a raylet's workers do for some seconds.
PARENT = "import subprocess, time; subprocess.Popen(['sleep', '100']); time.sleep(100)"


@pytest.fixture
def raylet() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", PARENT]) as process:
        while not psutil.Process(process.pid).children():
            time.sleep(0.01)
        yield process
        process.kill()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Start a watch, which ends with the test in any case: its interrupts would end pytest itself."""
    made: list[RayWatch] = []

    def start(process: subprocess.Popen[bytes], folder: Path, *, waits: bool = True) -> RayWatch:
        made.append(RayWatch({"raylet": psutil.Process(process.pid)}, folder, lambda: None, lambda: waits))
        return made[-1]

    yield start
    for watched in made:
        watched.end()


def wait_for_reason(watched: RayWatch) -> str:
    deadline = time.monotonic() + 10
    while (reason := watched.reason()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return reason


def test_what_waits_is_interrupted_when_a_process_ends(raylet: subprocess.Popen[bytes], tmp_path: Path, watch: Watch) -> None:
    handler = signal.getsignal(ray_watch.SIGNAL)
    watched = watch(raylet, tmp_path)
    (child,) = psutil.Process(raylet.pid).children()
    started = time.monotonic()
    time.sleep(2 * ray_watch.POLL_SECONDS)
    raylet.kill()
    with pytest.raises(RayLostInterrupt):
        time.sleep(60)
    assert time.monotonic() - started < 50  # Python may have ignored the first interrupt, but not all of them.
    assert watched.reason() == (
        f"Ray's process raylet ({raylet.pid}) was ended by SIGKILL (the kernel does that when memory runs out: see dmesg), and "
        "Ray cannot work without it"
    )
    assert child.is_running()
    watched.end()
    watched.end_family()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert signal.getsignal(ray_watch.SIGNAL) is handler


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_python_ignores_is_raised_again(
    raylet: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Watch
) -> None:
    class WaitsAtItsEnd:
        def __del__(self) -> None:
            time.sleep(1)

    monkeypatch.setattr(ray_watch, "REPEAT_SECONDS", 1.5)
    watched = watch(raylet, tmp_path)
    raylet.kill()
    thing = WaitsAtItsEnd()
    del thing
    with pytest.raises(RayLostInterrupt):
        time.sleep(60)
    watched.end()


def test_other_work_continues(raylet: subprocess.Popen[bytes], tmp_path: Path, watch: Watch) -> None:
    watched = watch(raylet, tmp_path, waits=False)
    raylet.terminate()
    time.sleep(4 * ray_watch.POLL_SECONDS)
    assert "was ended by SIGTERM" in wait_for_reason(watched)
    watched.end()


def test_a_folder_that_is_removed_is_named(raylet: subprocess.Popen[bytes], tmp_path: Path, watch: Watch) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    watched = watch(raylet, folder, waits=False)
    assert watched.reason() is None
    shutil.rmtree(folder)
    assert wait_for_reason(watched) == f"the folder of Ray's session was removed while it ran: {folder}"
    watched.end()


def test_a_head_is_lost_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_watch, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(ray_watch, "AWAY_SECONDS", 0.5)
    gone = Unreachable("127.0.0.1", free_port())
    found, deadline = None, time.monotonic() + 10
    started = time.monotonic()
    while (found := gone()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert time.monotonic() - started >= 0.5
    assert "the head of the Ray cluster has not answered at 127.0.0.1:" in found
