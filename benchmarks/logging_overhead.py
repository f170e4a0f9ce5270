"""What recording a training in MLflow costs its steps: nothing recorded, into an sqlite file, to a server on this machine.

One training of the quickstart's model, two workers with gloo on one thread each, as `torchrun` starts them. Its steps go by in
blocks that are recorded in one of the three ways, in turn, so that all meet the same machine. Recording is what a stage does:
worker 0 appends to progress.jsonl, this process follows the file and sends in the background. A block's time is the mean of its
steps, since a median would leave out the few steps that something was sent in. Processor time of all that records is taken too:
it bounds the cost from above, and does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
import torch.distributed as dist

from workflows.execution.fit import POLL_SECONDS
from workflows.execution.progress import Follower, ProgressWriter
from workflows.records.mlflow_store import TrackingStore, local_store
from workflows.records.tracking import RunRecorder, Tracker
from workflows.terminal.reporter import Reporter

ROOT = Path(__file__).resolve().parents[1]
WORKERS, BATCH, SKIPPED = 2, 32, 20
WAYS = ("nothing", "sqlite", "server")


def way_of(step: int, block: int) -> str:
    """How the step with this number (from 0) is recorded: every round has each way once, in another order each time."""
    number = (step - SKIPPED) // block
    rounds, place = divmod(max(number, 0), len(WAYS))
    return "nothing" if step < SKIPPED else WAYS[(place + rounds) % len(WAYS)]


# -- the training ------------------------------------------------------------------------------------------------------


def worker(folder: Path, steps: int, block: int, log_every: int) -> None:
    """What torchrun starts: train, and leave the seconds of every step in seconds.json."""
    from benchmarks import work
    from benchmarks.model import PRETRAINING, model_config

    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    rank = dist.get_rank()
    trainer = work.trainer(model_config("demo"), PRETRAINING, frames=1, concatenate=4, steps=steps, batch_size=BATCH)
    trainer.settings = trainer.settings.model_copy(update={"log_every": log_every})
    writers = {way: ProgressWriter(folder / way, steps) for way in WAYS[1:]}
    marks: list[float] = []
    trainer.optimizer.register_step_post_hook(lambda *_: marks.append(time.perf_counter()))

    def log(step: int, record: dict[str, float]) -> None:
        way = way_of(step - 1, block)
        if way in writers:
            writers[way].write("train", step, record)

    trainer.run(log, lambda _: None)
    if rank == 0:
        (folder / "seconds.json").write_text(json.dumps([b - a for a, b in itertools.pairwise(marks)]))
    dist.barrier()  # gloo ends a process that loses its peer in the middle of ending
    dist.destroy_process_group()


# -- what records it ---------------------------------------------------------------------------------------------------


@contextmanager
def tracking_server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """MLflow's server on a free port; its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log, subprocess.Popen(  # noqa: S603 - fixed command, no shell
        [*command, *stores], cwd=folder, env=environment, stdout=log, stderr=log
    ) as process:  # fmt: skip
        try:
            uri = f"http://127.0.0.1:{port}"
            _wait_for(uri)
            yield uri, psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait_for(uri: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):  # noqa: S310 - our own server
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


class Recording:
    """One way of recording: follows its file and sends."""

    def __init__(self, place: TrackingStore, folder: Path):
        folder.mkdir()
        self.tracker = Tracker(place, folder / "unsent.jsonl", Reporter())
        self.run: RunRecorder = self.tracker.new_run("training")
        self.run.metrics({"warm": 0.0})
        if not self.tracker.flush(60):  # MLflow's import and the store's tables are no part of a step
            raise RuntimeError(f"{place.shown} takes no records")
        self.follower, self.records = Follower(folder), 0
        self.clock = time.pthread_getcpuclockid(self.tracker._thread.ident or 0)
        self.started = time.clock_gettime(self.clock)

    def poll(self) -> None:
        """Forward what is new."""
        for record in self.follower.new():
            self.run.metrics({f"train/{name}": value for name, value in record.values.items()}, record.step, record.seconds)
            self.records += 1

    def processor_seconds(self) -> float:
        """That the sending thread has used."""
        return time.clock_gettime(self.clock) - self.started


def _used(server: psutil.Process) -> float:
    """Processor seconds of a process and its children."""
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def _idle(server: psutil.Process, seconds: float = 10.0) -> float:
    """Share of a core that a server uses while nobody asks it anything."""
    before = _used(server)
    time.sleep(seconds)
    return (_used(server) - before) / seconds


def measure(folder: Path, rounds: int, block: int, log_every: int) -> None:
    """Train once and print the comparison."""
    steps = SKIPPED + rounds * len(WAYS) * block
    with tracking_server(folder) as (uri, server):
        ways = {
            "sqlite": Recording(TrackingStore(local_store(folder), "overhead", None), folder / "sqlite"),
            "server": Recording(TrackingStore(uri, "overhead", None), folder / "server"),
        }
        idle = _idle(server)
        served, polled, began = _used(server), 0.0, time.monotonic()
        options = ["--worker", str(folder), "--steps", str(steps), "--block", str(block), "--log-every", str(log_every)]
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(WORKERS)]
        with subprocess.Popen(  # noqa: S603 - fixed command, no shell
            [*command, "-m", "benchmarks.logging_overhead", *options], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}
        ) as training:  # fmt: skip
            try:
                while training.poll() is None:
                    started = time.thread_time()
                    for way in ways.values():
                        way.poll()
                    polled += time.thread_time() - started
                    time.sleep(POLL_SECONDS)
            finally:
                training.terminate()  # if this was interrupted
        for way in ways.values():
            way.poll()
            way.tracker.flush(60)
        used = {name: way.processor_seconds() + polled / len(ways) for name, way in ways.items()}
        used["server"] += _used(server) - served - idle * (time.monotonic() - began)
        for way in ways.values():
            way.tracker.close()
    seconds = json.loads((folder / "seconds.json").read_text())
    _report(seconds, used, {name: way.records for name, way in ways.items()}, block, log_every)


def _report(seconds: list[float], used: dict[str, float], records: dict[str, int], block: int, log_every: int) -> None:
    of_way: dict[str, list[float]] = {way: [] for way in WAYS}  # means of blocks, by round
    for first in range(SKIPPED, len(seconds) - block + 2, block):
        of_way[way_of(first, block)].append(statistics.fmean(seconds[first : first + block - 1]))
    rounds = min(len(means) for means in of_way.values())
    print(f"\na record every {log_every} step{'s' if log_every > 1 else ''}; {rounds} rounds of blocks of {block} steps")
    for way, means in of_way.items():
        line = f"  {way:8} {1000 * statistics.median(means[:rounds]):7.1f} ms a step"
        if way in used:
            ratios = [a / b for a, b in zip(means, of_way["nothing"], strict=False)]
            shown = ", ".join(f"{100 * (r - 1):+.1f}" for r in ratios)
            share = used[way] / (sum(means) * block)
            line += f"   {100 * (statistics.median(ratios) - 1):+.2f} % (median of {shown})"
            line += f"; processor time {1000 * used[way] / (len(means) * block):.2f} ms a step, {100 * share:.2f} % of one core"
            line += f"; {records[way]} records"
        print(line)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logging_overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--block", type=int, default=60, help="steps")
    parser.add_argument("--log-every", type=int, help="left out: 10 and 1, one after the other")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.steps, options.block, options.log_every)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended on the way out
    print(f"load before: {', '.join(f'{load:.1f}' for load in os.getloadavg())} (1, 5, 15 minutes) on {os.cpu_count()} cores")
    for log_every in [options.log_every] if options.log_every else [10, 1]:
        with tempfile.TemporaryDirectory(prefix="cosa-logging-") as folder:
            measure(Path(folder), options.rounds, options.block, log_every)


if __name__ == "__main__":
    main()
