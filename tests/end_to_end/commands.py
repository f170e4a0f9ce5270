"""Running the command line as a user does, in a process of its own, and looking at what it leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
# The quickstart at a size that shows plumbing, not learning.
SMALL_CORPUS = (
    "stages.corpus.options.images=96",
    "stages.corpus.options.train_clips=24",
    "stages.corpus.options.validation_clips=6",
    "stages.corpus.options.test_clips=8",
    "stages.corpus.options.workers=1",
)
SMALL_TRAINING = (
    "stages.pretrain.corpora.0.steps=4",
    "stages.pretrain.corpora.0.batch_size=12",
    "stages.pretrain.corpora.1.steps=2",
    "stages.pretrain.corpora.1.batch_size=8",
    "stages.pretrain.log_every=1",
    "stages.retrieval.epochs=1",
    "stages.retrieval.batch_size=16",
    "stages.retrieval.log_every=1",
    "stages.captioning.epochs=1",
    "stages.captioning.batch_size=16",
    "stages.answers.epochs=0.5",
    "stages.answers.batch_size=16",
)


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    output: str
    seconds: float


def command(*arguments: str) -> list[str]:
    """The command line as a list."""
    return [sys.executable, str(ROOT / "cli.py"), *arguments]


def sets(*overrides: str) -> list[str]:
    """--set options."""
    return [part for override in overrides for part in ("--set", override)]


def run(*arguments: str, cwd: Path = ROOT, timeout: float = 600, **environment: str) -> Done:
    """Run to the end; output and errors together."""
    started = time.monotonic()
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, time.monotonic() - started)


def run_until(condition: Callable[[], bool], sent: signal.Signals, *arguments: str, timeout: float = 300) -> Done:
    """Run until a condition holds, then send a signal to the driver alone and wait for its end."""
    started = time.monotonic()
    with subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        while not condition():
            if process.poll() is not None or time.monotonic() - started > timeout:
                process.kill()
                raise AssertionError(f"the condition never held:\n{process.communicate()[0]}")
            time.sleep(0.1)
        process.send_signal(sent)
        output, _ = process.communicate(timeout=120)
    return Done(process.returncode, output, time.monotonic() - started)


def ray_processes_of(pids_before: set[int]) -> list[psutil.Process]:
    """Ray's processes that were not there before."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "name"]):
        line = " ".join(process.info["cmdline"] or [])
        is_ray = "ray::" in line or "/ray/" in line or process.info["name"] in ("raylet", "gcs_server")
        if is_ray and process.pid not in pids_before and process.pid != os.getpid():
            found.append(process)
    return found


def all_pids() -> set[int]:
    """Processes that run now."""
    return set(psutil.pids())


def none_left(pids_before: set[int], seconds: float = 90) -> list[str]:
    """Command lines of Ray processes that are still there after a while (its small agents linger for a minute)."""
    deadline = time.monotonic() + seconds
    while (left := ray_processes_of(pids_before)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return [" ".join(process.cmdline()) for process in left if process.is_running()]
