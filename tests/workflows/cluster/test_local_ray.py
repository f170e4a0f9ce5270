"""What is ended and set back when a Ray of one run stops, with processes that stand for Ray's. No Ray is started."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from workflows.cluster.local_ray import LocalRay
from workflows.spec.sections import ClusterSection

SLEEPS = "import time; time.sleep(100)"


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRay]:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    yield LocalRay(ClusterSection())
    assert os.environ["RAY_TMPDIR"] == str(tmp_path)


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def started(stack: ExitStack, local: LocalRay, tmpdir: Path) -> subprocess.Popen[bytes]:
    """A process that names a file of Ray's logs."""
    command = [sys.executable, "-c", SLEEPS, f"{local.logs}/raylet.out"]
    process = stack.enter_context(subprocess.Popen(command, env={**os.environ, "RAY_TMPDIR": str(tmpdir)}))
    stack.callback(process.kill)
    return process


def test_only_what_descends_from_ray_is_ended(local: LocalRay, processes: ExitStack, tmp_path: Path) -> None:
    pager, agent = started(processes, local, tmp_path), started(processes, local, local.folder.path)
    local.stop()
    assert agent.wait(10) == -9
    assert pager.poll() is None
    assert not local.folder.path.exists()


@pytest.mark.parametrize("refusal", [psutil.AccessDenied(), psutil.NoSuchProcess(1)])
def test_a_process_that_cannot_be_ended_is_left(
    refusal: psutil.Error, local: LocalRay, processes: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has just ended by itself, or root's that reads the logs."""
    first, second = (started(processes, local, local.folder.path) for _ in range(2))
    kill = psutil.Process.kill

    def refuse(process: psutil.Process) -> None:
        if process.pid == first.pid:
            raise refusal
        kill(process)

    monkeypatch.setattr(psutil.Process, "kill", refuse)
    local.stop()
    assert second.wait(10) == -9
    assert first.poll() is None
    assert not local.folder.path.exists()
