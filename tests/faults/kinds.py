"""What can go wrong, done for real. Every kind ends with the run finished; `Round.compare` says whether it is the same run."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.end_to_end.commands import command_line_of, processes_of
from tests.end_to_end.commands import run as command_line
from tests.end_to_end.nodes import Nodes
from tests.faults.rounds import STAGE, STEPS, Round, Run
from tests.tracking_server import TrackingServer

FREE = 300_000  # bytes that are left on a full disk: less than a checkpoint


def worker_killed(round_: Round) -> None:
    """kill -9 of one training worker: Ray starts the workers again, the run resumes by itself."""
    run = round_.start()
    round_.wait_for_moment(run, first=1)
    workers = _workers(round_.storage)
    assert workers, "no training worker"
    round_.draw.choice(workers).kill()
    round_.expect(run, 0)


def driver_killed(round_: Round) -> None:
    """kill -9 of the driver alone."""
    run = round_.start()
    round_.wait_for_moment(run)
    run.process.kill()
    run.wait()
    round_.finish()


def everything_killed(round_: Round) -> None:
    """kill -9 of the driver's process group and of everything that Ray started for it, as when the power fails."""
    run = round_.start()
    round_.wait_for_moment(run)
    os.killpg(run.process.pid, signal.SIGKILL)
    for process in processes_of(round_.storage):
        process.kill()
    run.wait()
    round_.finish()


def asked_to_end(round_: Round) -> None:
    """SIGTERM, as before a machine is taken away: training saves, exit code 75."""
    run = round_.start()
    round_.wait_for_moment(run)
    run.process.terminate()
    round_.expect(run, 75)
    round_.finish()


def interrupted(round_: Round) -> None:
    """Ctrl-C."""
    run = round_.start()
    round_.wait_for_moment(run)
    run.process.send_signal(signal.SIGINT)
    round_.expect(run, 130)
    round_.finish()


def checkpoint_truncated(round_: Round) -> None:
    """kill -9 of the driver, and half of the newest checkpoint's state is lost: the one before it serves."""
    run = round_.start()
    round_.wait_for_moment(run, first=5)
    run.process.kill()
    run.wait()
    while _workers(round_.storage):
        time.sleep(0.1)
    assert round_.work is not None
    (folder,) = (round_.work / "ray").iterdir()
    newest = max(path for path in folder.glob("checkpoint_*") if (path / "checksums.json").is_file())
    state = newest / "training_state.pt"
    os.truncate(state, state.stat().st_size // 2)
    round_.notes.append(f"{newest.name} truncated")
    round_.finish()


def checkpoint_misread(round_: Round) -> None:
    """A checkpoint reads back with a wrong byte when it was written: it never counts, and the workers start again."""
    call = round_.draw.randint(2, STEPS // 2)
    round_.notes.append(f"checkpoint {call}")
    marker = round_.storage / "wrong-byte-happened"
    run = round_.start(**_inject(COSA_TEST_WRONG_BYTE=f"{call}:{marker}"))
    round_.expect(run, 0)
    assert marker.exists(), "no wrong byte was written"
    groups = json.loads((round_.result / "manifest.json").read_text())["details"]["workers"]
    assert len(groups) == 2, f"{len(groups)} groups of workers were started: one checkpoint should not have read back"


def disk_full(round_: Round) -> None:
    """The file system of the storage is full when a checkpoint is to be written; then there is room again."""
    run = round_.start()
    round_.wait_for_moment(run, first=1, last=STEPS - 8)
    filler = round_.storage / "filler"
    _fill(filler)
    round_.expect(run, 0, 1)  # Ray tries again, and deletes old checkpoints: it may get through
    filler.unlink()
    if run.process.returncode:
        assert "No space left on device" in run.output, f"the reason is not in {run.log}"
        round_.finish()


def power_lost(round_: Round) -> None:
    """The power fails in training: all processes are gone, and what was not flushed to the disk."""
    run = round_.start()
    round_.wait_for_moment(run)
    _lose_power(round_, run)


def power_lost_later(round_: Round) -> None:
    """The same, when the result has appeared, or the program has ended already."""
    run = round_.start()
    while not list((round_.storage / "quickstart" / STAGE).glob("*/manifest.json")) and run.process.poll() is None:
        time.sleep(0.02)
    delay = round_.draw.uniform(0, 15)
    round_.notes.append(f"{delay:.1f} s after publishing")
    time.sleep(delay)
    _lose_power(round_, run)


def disk_fails(round_: Round) -> None:
    """The file system becomes read-only in the middle of training, as after an error of the disk, and is mended."""
    disk = round_.disk
    assert disk is not None
    run = round_.start()
    round_.wait_for_moment(run, first=1, last=STEPS - 8)
    disk.fail()
    round_.expect(run, 1)
    assert "Read-only file system" in run.output, f"the reason is not in {run.log}"
    disk.repair()
    round_.finish()


def losses_not_finite(round_: Round) -> None:
    """The losses of one step are NaN: training stops, naming step and samples; the same command resumes it."""
    run = round_.start(**_nan(round_))
    round_.expect(run, 1)
    assert re.search(r"non-finite in step \d+ \(corpus .*samples train_", run.output), f"no step or samples in {run.log}"
    round_.finish()


def losses_not_finite_skipped(round_: Round) -> None:
    """The same with max_skipped_steps: the update is left out, and training continues."""
    round_.settings.append(f"stages.retrieval.max_skipped_steps={2}")
    run = round_.start(**_nan(round_))
    round_.expect(run, 0)


def mlflow_restarted(round_: Round) -> None:
    """The MLflow server ends in the middle of training and is started again a while later."""
    server = TrackingServer(round_.storage)
    round_.uri = server.uri
    server.start()
    try:
        run = round_.start()
        round_.wait_for_moment(run)
        server.stop()
        time.sleep(round_.draw.uniform(1, 15))
        server.start()
        round_.expect(run, 0)
        for unsent in (round_.storage / "quickstart").glob("unsent-*.jsonl"):  # the run ended before the server was back
            sent = command_line("sync", str(unsent))
            assert sent.code == 0, sent.output
            round_.notes.append("sent by cosa sync")
        round_.check_history()
    finally:
        server.stop()


def node_lost(round_: Round) -> None:
    """A node of a cluster of two is killed with all its workers; another one takes its place, and the run resumes by itself."""
    folder = round_.storage.with_name(f"{round_.storage.name}-nodes")
    folder.mkdir()
    nodes = Nodes(folder)
    try:
        nodes.start()
        round_.settings.append(f"cluster.address={nodes.address}")
        run = round_.start(**nodes.environment)
        round_.wait_for_moment(run, first=1)
        nodes.lose_second()
        nodes.replace_second()
        round_.expect(run, 0)
    finally:
        nodes.stop()


KINDS: dict[str, Callable[[Round], None]] = {
    "worker kill -9": worker_killed,
    "driver kill -9": driver_killed,
    "everything kill -9": everything_killed,
    "SIGTERM": asked_to_end,
    "Ctrl-C": interrupted,
    "truncated checkpoint": checkpoint_truncated,
    "wrong byte written": checkpoint_misread,
    "disk full": disk_full,
    "power lost": power_lost,
    "power lost, done": power_lost_later,
    "read-only file system": disk_fails,
    "NaN, stop": losses_not_finite,
    "NaN, skip": losses_not_finite_skipped,
    "MLflow restarted": mlflow_restarted,
    "node lost": node_lost,
}


# -- helpers ----------------------------------------------------------------------------------------------------------


def _lose_power(round_: Round, run: Run) -> None:
    disk = round_.disk
    assert disk is not None
    writing = processes_of(round_.storage)
    for process in writing:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    blocks = disk.blocks_now()
    for process in writing:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    run.wait()
    psutil.wait_procs(writing, timeout=30)
    disk.come_back_with(blocks)
    round_.finish()


def _workers(storage: Path) -> list[psutil.Process]:
    return [process for process in processes_of(storage) if "RayTrainWorker" in command_line_of(process)]


def _fill(filler: Path) -> None:
    """Take all but a little of the room of a file system on which others write at the same time."""
    with filler.open("wb") as file:
        for _ in range(100):
            room = os.statvfs(filler.parent)
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_frsize - FREE))
                return
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    raise AssertionError("the file system could not be filled")


def _nan(round_: Round) -> dict[str, str]:
    call = round_.draw.randint(2, STEPS - 1)
    round_.notes.append(f"at step {call}")
    return _inject(COSA_TEST_NAN=f"{call}:{round_.storage / 'nan-happened'}")


def _inject(**settings: str) -> dict[str, str]:
    """Environment of a run in which `inject/sitecustomize.py` does something."""
    return {"PYTHONPATH": str(Path(__file__).parent / "inject"), **settings}
