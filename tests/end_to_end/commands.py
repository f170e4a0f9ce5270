"""Running the command line as a user does, in a process of its own, and looking at what it leaves."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from workflows.execution.progress import read_records
from workflows.results.layout import FRAME_STORE

ROOT = Path(__file__).resolve().parents[2]
MARK = "COSA_TEST_STORAGE"  # environment variable that all processes of a run inherit
# The quickstart at a size that shows plumbing, not learning.
SMALL_CORPUS = (
    "stages.corpus.options.images=96",
    "stages.corpus.options.train_clips=24",
    "stages.corpus.options.validation_clips=6",
    "stages.corpus.options.test_clips=8",
    "stages.corpus.options.workers=1",
)
SMALL_TRAINING = (
    "stages.pretrain.corpora.0.steps=2",
    "stages.pretrain.corpora.0.batch_size=16",
    "stages.pretrain.corpora.1.steps=2",
    "stages.pretrain.corpora.1.batch_size=12",
    "stages.pretrain.corpora.2.steps=2",
    "stages.pretrain.corpora.2.batch_size=8",
    "stages.pretrain.log_every=1",
    "stages.pretrain.profile=true",
    "stages.retrieval.epochs=1",
    "stages.retrieval.batch_size=16",
    "stages.retrieval.log_every=1",
    "stages.retrieval.evaluations_per_run=2",
    "stages.retrieval.checkpoint_every=1",
    "stages.retrieval.sweep.scheduler=asha",
    "stages.captioning.epochs=1",
    "stages.captioning.batch_size=16",
    "stages.captioning.learning_rate=1e-5",  # Nothing is learned, so that all have CIDEr 0:
    "stages.captioning.evaluations_per_run=3",  # The latest checkpoint of equal ones is kept.
    "stages.zero-shot.workers=2",
    "stages.answers.epochs=0.5",
    "stages.answers.batch_size=16",
    "stages.answers.sharding=fsdp",
    "stages.answers.accumulate=2",
    "stages.answers.ema_decay=0.5",
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


def storage_of(arguments: Sequence[str]) -> str:
    """The storage folder that a command is given: its processes are known by it."""
    return next((argument.removeprefix("storage=") for argument in arguments if argument.startswith("storage=")), "")


def sets(*overrides: str) -> list[str]:
    """--set options."""
    return [part for override in overrides for part in ("--set", override)]


def run(*arguments: str, cwd: Path = ROOT, timeout: float = 600, **environment: str) -> Done:
    """Run to the end; output and errors together."""
    started = time.monotonic()
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", MARK: storage_of(arguments), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, time.monotonic() - started)


def run_until(condition: Callable[[], bool], sent: signal.Signals, *arguments: str, cwd: Path = ROOT) -> Done:
    """Run until a condition holds, then send a signal to the driver alone and wait for its end."""
    return run_disturbed(condition, lambda driver: driver.send_signal(sent), *arguments, cwd=cwd)


def run_disturbed(
    condition: Callable[[], bool],
    disturb: Callable[[subprocess.Popen[str]], None],
    *arguments: str,
    cwd: Path = ROOT,
    timeout: float = 300,
) -> Done:
    """Run until a condition holds, then disturb the run and wait for its end."""
    started = time.monotonic()
    with subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", MARK: storage_of(arguments)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509 -- it only sets a signal
    ) as process:
        while not condition():
            if process.poll() is not None or time.monotonic() - started > timeout:
                process.kill()
                raise AssertionError(f"the condition never held:\n{process.communicate()[0]}")
            time.sleep(0.1)
        disturb(process)
        output, _ = process.communicate(timeout=timeout)
    return Done(process.returncode, output, time.monotonic() - started)


def _hear_interrupts() -> None:
    """Background jobs of a shell are started deaf to SIGINT, and so would be what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_of(storage: Path) -> list[psutil.Process]:
    """Processes that descend from runs on a storage folder, also those that have left their parents."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(storage):
                found.append(process)
        except (psutil.Error, OSError):  # it has ended, or belongs to somebody else
            continue
    return found


def copy_results(storage: Path, other: Path, experiment: str, *stages: str) -> None:
    """Copy results of stages, and the frames that they lead to, into another storage folder."""
    for stage in stages:
        shutil.copytree(storage / experiment / stage, other / experiment / stage, symlinks=True)
    if (storage / FRAME_STORE).is_dir():
        shutil.copytree(storage / FRAME_STORE, other / FRAME_STORE)


def losses(folder: Path) -> dict[int, float]:
    """Training losses of a stage by step, where they are finite."""
    return {r.step: r.values["loss"] for r in read_records(folder) if r.kind == "train" and "loss" in r.values}


def none_left(storage: Path, seconds: float = 90) -> list[str]:
    """Command lines of a run's processes that are still there after a while (Ray's small agents linger for a minute)."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(storage)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return [line for process in left if (line := command_line_of(process))]


def command_line_of(process: psutil.Process) -> str:
    """The command line of a process; nothing if it is ending."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
