"""One round: an experiment in a storage folder of its own, disturbed once, and afterwards the same as an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tests.end_to_end.commands import MARK, ROOT, SMALL_CORPUS, command, copy_results, losses, none_left, processes_of, sets
from tests.faults.disks import Disk
from workflows.execution.progress import read_records
from workflows.records.mlflow_store import local_store

STAGE = "retrieval"
STEPS = 36
KEPT = tuple(
    f"stages.{name}=" for name in ("zero-shot", "test-retrieval", "captioning", "answers", "test-captioning", "test-answers")
)
# The quickstart's corpus in small, and a finetuning of 36 steps with three validations and a checkpoint every second step.
SETTINGS = (
    *SMALL_CORPUS,
    *KEPT,
    "stages.pretrain=",
    "stages.retrieval.init_from=~",
    "stages.retrieval.sweep=",
    "stages.retrieval.workers=2",
    "stages.retrieval.epochs=12",
    "stages.retrieval.batch_size=24",
    "stages.retrieval.log_every=1",
    "stages.retrieval.evaluations_per_run=3",
    "stages.retrieval.checkpoint_every=2",
)
UNSTABLE = ("samples_per_second", "data_wait_share")  # metrics that measure time


@dataclass
class Run:
    """A started command."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, seconds: float = 400) -> int:
        """Its exit code.

        Raises:
            AssertionError: it does not end.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"no end after {seconds:.0f} s; see {self.log}") from error

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@dataclass
class Round:
    """storage: of this round. settings: --set options besides SETTINGS. uri: of MLflow. notes: what happened, for the table.
    disk: the file system that holds the storage, if it has one of its own."""

    storage: Path
    draw: random.Random
    settings: list[str] = field(default_factory=list)
    uri: str | None = None
    notes: list[str] = field(default_factory=list)
    runs: int = 0
    disk: Disk | None = None

    @property
    def arguments(self) -> list[str]:
        """The command, the same every time."""
        tracking = [] if self.uri is None else [f"tracking.uri={self.uri}"]
        return ["run-experiment", "experiments/quickstart.yaml",
                *sets(f"storage={self.storage}", *SETTINGS, *tracking, *self.settings)]  # fmt: skip

    def start(self, **environment: str) -> Run:
        """Start the command in a session of its own."""
        self.runs += 1
        log = self.storage.with_name(f"{self.storage.name}-output-{self.runs}.txt")
        with log.open("wb") as file:
            process = subprocess.Popen(
                command(*self.arguments), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "COLUMNS": "160", MARK: str(self.storage), **environment},
            )  # fmt: skip
        return Run(process, log)

    def wait_for_moment(self, run: Run, first: int = 0, last: int = STEPS - 4) -> int:
        """Let a run continue until a random moment between two numbers of steps; the number of steps at that moment."""
        wanted, delay = self.draw.randint(first, last), self.draw.random()
        while self.step < wanted:
            self._must_live(run, f"before step {wanted}")
            time.sleep(0.02)
        time.sleep(0.5 * delay if wanted else 1 + 14 * delay)  # no step yet: anywhere in its start
        self._must_live(run, "before it could be disturbed")
        self.notes.append(f"at step {self.step}")
        return self.step

    def _must_live(self, run: Run, when: str) -> None:
        assert run.process.poll() is None, f"ended {when}; see {run.log}"

    @property
    def step(self) -> int:
        """Steps that the training has recorded."""
        folder = self.work
        return max((r.step for r in read_records(folder) if r.kind == "train"), default=0) if folder is not None else 0

    @property
    def work(self) -> Path | None:
        """Folder of the unfinished stage."""
        return next((self.storage / "quickstart" / STAGE).glob("*.partial"), None)

    @property
    def result(self) -> Path:
        """Folder of the finished stage."""
        found = [p for p in (self.storage / "quickstart" / STAGE).glob("*") if (p / "manifest.json").is_file()]
        assert len(found) == 1, f"{len(found)} results in {self.storage}"
        return found[0]

    def finish(self, tries: int = 2) -> None:
        """Give the same command again until it ends well."""
        for _ in range(tries):
            run = self.start()
            code = run.wait()
            self.notes.append(f"again: {code}")
            if code == 0:
                return
        raise AssertionError(f"the same command does not finish the run; see {run.log}")

    def expect(self, run: Run, *codes: int) -> None:
        """The run ends with one of some codes, without a traceback in its output."""
        code = run.wait()
        self.notes.append(f"exit {code}")
        assert code in codes, f"exit code {code}, not {codes}; see {run.log}"
        assert "Traceback" not in run.output, f"a traceback in {run.log}"

    # -- afterwards ----------------------------------------------------------------------------------------------------

    def compare(self, undisturbed: Path) -> None:
        """Losses of every step, final weights and metrics are those of the undisturbed run."""
        assert losses(self.result) == losses(undisturbed), "losses differ from the undisturbed run's"
        ours, theirs = (load_file(folder / "checkpoint" / "model.safetensors") for folder in (self.result, undisturbed))
        assert ours.keys() == theirs.keys()
        different = [name for name in theirs if not bool((ours[name] == theirs[name]).all())]
        assert not different, f"weights differ: {different[:3]}"
        assert metrics(self.result) == metrics(undisturbed), "final metrics differ"

    def check_history(self, *, without: tuple[int, ...] = ()) -> None:
        """MLflow has one run of the stage, finished, with every step once and the values of the progress file."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self.uri or local_store(self.storage))
        experiment = client.get_experiment_by_name("quickstart")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], f"tags.`cosa.stage` = '{STAGE}'")
        assert len(runs) == 1, f"MLflow has {len(runs)} runs of the stage"
        assert runs[0].info.status == "FINISHED", f"MLflow's run is {runs[0].info.status}"
        history = client.get_metric_history(runs[0].info.run_id, "train/loss")
        steps = sorted(point.step for point in history)
        expected = [step for step in range(1, STEPS + 1) if step not in without]
        assert steps == expected, f"MLflow has losses of steps {steps}"
        assert {p.step: p.value for p in history} == losses(self.result)

    def clean_up(self) -> None:
        """End what is left of the round; what runs on for more than a while is a mistake."""
        left = none_left(self.storage)
        for process in processes_of(self.storage):
            process.kill()
        assert not left, f"processes left: {[line[:80] for line in left]}"


def metrics(folder: Path) -> dict[str, Any]:
    """Final metrics that do not measure time."""
    found = json.loads((folder / "manifest.json").read_text())["metrics"]
    return {name: value for name, value in found.items() if name not in UNSTABLE}


def prepare(storage: Path, undisturbed: Path | None) -> None:
    """A new storage folder; with the corpus and frames of another one, so that the round begins with training."""
    storage.mkdir(parents=True, exist_ok=True)
    if undisturbed is not None:
        copy_results(undisturbed.parents[2], storage, "quickstart", "corpus", "frames")
