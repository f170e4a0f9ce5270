"""Processes and folders that go while a run needs them: Ray's own, a trial's workers, the driver at its worst moment."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.commands import MARK, ROOT, Done, command, none_left, run, run_disturbed, sets
from tests.end_to_end.tiny import results_of, tiny_experiment
from workflows.execution.progress import read_records
from workflows.execution.whereabouts import noted_workers
from workflows.records.unrecorded import OPEN_FOLDER
from workflows.results.layout import UNRECORDED_FILE

pytestmark = pytest.mark.slow

ENDLESS = ("stages.retrieval.epochs=4000", "stages.retrieval.evaluations_per_run=1")


def arguments(folder: Path, *more: str) -> tuple[str, ...]:
    return ("run-experiment", tiny_experiment(folder), *sets(f"storage={folder}/storage", *more))


def trains(folder: Path) -> Callable[[], bool]:
    return lambda: any(len(read_records(partial)) > 2 for partial in results_of(folder).glob("*.partial"))


def statuses(folder: Path) -> Counter[str]:
    """How many runs MLflow has in each state."""
    with closing(sqlite3.connect(folder / "storage" / "mlflow.db")) as database:
        return Counter(status for (status,) in database.execute("select status from runs"))


def ray_folder(driver: psutil.Process) -> Path:
    """The temporary folder of a driver's Ray."""
    (raylet,) = (child for child in driver.children() if child.name() == "raylet")
    return Path(raylet.environ()["RAY_TMPDIR"])


def kill(name: str) -> Callable[[subprocess.Popen[str]], None]:
    def disturb(driver: subprocess.Popen[str]) -> None:
        next(child for child in psutil.Process(driver.pid).children() if child.name() == name).kill()

    return disturb


def remove_ray_folder(driver: subprocess.Popen[str]) -> None:
    shutil.rmtree(ray_folder(psutil.Process(driver.pid)))


@pytest.mark.parametrize(
    ("disturb", "said"),
    [
        (kill("raylet"), "Ray's process raylet ("),
        (kill("gcs_server"), "Ray's process gcs_server ("),
        (remove_ray_folder, "the folder of Ray's session was removed while it ran: "),
    ],
    ids=["raylet", "gcs", "folder"],
)
def test_a_ray_that_is_lost_ends_the_run_in_words(
    disturb: Callable[[subprocess.Popen[str]], None], said: str, tmp_path: Path
) -> None:
    given = arguments(tmp_path, *ENDLESS)
    started = time.monotonic()
    lost: list[float] = []

    def timed(driver: subprocess.Popen[str]) -> None:
        lost.append(time.monotonic())
        disturb(driver)

    done = run_disturbed(trains(tmp_path), timed, *given)
    assert done.code == 1
    assert started + done.seconds - lost[0] < 60
    assert f"error: stage retrieval: {said}" in done.output
    if "process" in said:
        assert "was ended by SIGKILL" in done.output
    assert "resume with: python cli.py run-experiment" in done.output
    assert "Traceback" not in done.output
    assert set(statuses(tmp_path)) == {"FAILED"}
    assert none_left(tmp_path / "storage", seconds=10) == []


def test_a_scheduler_that_ends_all_processes_gets_its_exit_code(tmp_path: Path) -> None:
    """Slurm sends SIGTERM to Ray's processes, too: training can save nothing more, but 75 says that it should run again."""
    given = arguments(tmp_path, *ENDLESS)
    done = run_disturbed(trains(tmp_path), lambda driver: os.killpg(driver.pid, signal.SIGTERM), *given)
    assert done.code == 75, done.output
    assert "retrieval interrupted; finished stages are saved, and it resumes" in done.output
    assert set(statuses(tmp_path)) == {"KILLED"}
    assert none_left(tmp_path / "storage", seconds=15) == []


def test_a_killed_driver_leaves_no_open_runs_behind(tmp_path: Path) -> None:
    given = arguments(tmp_path, "stages.retrieval.epochs=200", "stages.retrieval.checkpoint_every=20")
    run_disturbed(trains(tmp_path), lambda driver: driver.send_signal(signal.SIGKILL), *given)
    assert statuses(tmp_path)["RUNNING"] == 2  # the invocation and its stage
    (left,) = (tmp_path / "storage" / "tiny" / OPEN_FOLDER).iterdir()
    assert none_left(tmp_path / "storage") == []
    done = run("run-experiment", str(tmp_path / "spec.yaml"), *given[2:])
    assert done.code == 0, done.output
    assert statuses(tmp_path) == {"KILLED": 1, "FINISHED": 2}
    assert not left.exists()
    assert list((tmp_path / "storage" / "tiny" / OPEN_FOLDER).iterdir()) == []


def run_until_published(folder: Path, *given: str) -> bool:
    """Kill the driver as soon as the result is there. Return whether MLflow lacks something of it."""
    with subprocess.Popen(
        command(*given), cwd=ROOT, env={**os.environ, MARK: str(folder / "storage")}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as driver:  # fmt: skip
        while driver.poll() is None:
            if any(not path.parent.name.endswith(".partial") for path in results_of(folder).glob("*/manifest.json")):
                driver.kill()
            time.sleep(0.001)
    return any(results_of(folder).glob(f"*/{UNRECORDED_FILE}"))


def test_what_a_kill_after_publishing_has_left_out_is_recorded_by_the_next_run(tmp_path: Path) -> None:
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        given = arguments(folder, "stages.retrieval.register_as=tiny")
        if run_until_published(folder, *given):
            break
    else:
        pytest.fail("three kills came too late")
    assert statuses(folder)["RUNNING"] == 2
    none_left(folder / "storage")

    done = run("run-experiment", str(folder / "spec.yaml"), *given[2:])
    assert done.code == 0, done.output
    assert "Nothing to do" not in done.output
    (result,) = results_of(folder).iterdir()
    assert not (result / UNRECORDED_FILE).exists()
    assert statuses(folder) == {"KILLED": 1, "FINISHED": 2}
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/storage/mlflow.db")
    recorded = json.loads((result / "manifest.json").read_text())["mlflow_run_id"]
    files = {Path(item.path).name for item in client.list_artifacts(recorded, "checkpoint")}
    assert "model.safetensors" in files
    run_of_stage = client.get_run(recorded)
    assert run_of_stage.info.status == "FINISHED"
    assert run_of_stage.data.tags["cosa.checkpoint_sha256"]
    assert client.get_model_version_by_alias("tiny", "champion").run_id == recorded
    again = run("run-experiment", str(folder / "spec.yaml"), *given[2:])
    assert "Nothing to do" in again.output


# -- trials ----------------------------------------------------------------------------------------------------------------


class WorkerKiller(threading.Thread):
    """Kills training workers of a driver as soon as they start, so many of them."""

    def __init__(self, driver: subprocess.Popen[str], count: int):
        super().__init__(daemon=True)
        self.driver, self.left = psutil.Process(driver.pid), count

    def run(self) -> None:
        while self.left and self.driver.is_running():
            for process in self.driver.children(recursive=True):
                try:
                    if "RayTrainWorker" in " ".join(process.cmdline()):
                        process.kill()
                        process.wait(5)
                        self.left -= 1
                        break
                except psutil.Error:
                    continue
            time.sleep(0.1)


def sweep(folder: Path, killed: int, *given: str) -> Done:
    killers: list[WorkerKiller] = []

    def start(driver: subprocess.Popen[str]) -> None:
        killers.append(WorkerKiller(driver, killed))
        killers[0].start()

    return run_disturbed(lambda: any(results_of(folder).glob("*.partial/trials/*")), start, *given)


def test_a_trial_whose_workers_are_killed_again_and_again_runs_again(tmp_path: Path) -> None:
    given = arguments(tmp_path, "stages.retrieval.sweep={learning_rate: [1e-3, 1e-4], max_concurrent: 1}")
    done = sweep(tmp_path, 3, *given)
    assert done.code == 1
    assert "1 of 2 trials was lost, and the sweep is incomplete without; 1 is done and will not run again" in done.output
    assert "lr-0.001: a worker was killed" in done.output
    assert "resume with:" in done.output
    (partial,) = results_of(tmp_path).iterdir()
    states = {path.parent.name: json.loads(path.read_text())["state"] for path in partial.glob("trials/*/trial.json")}
    assert states == {"lr-0.001": "lost", "lr-0.0001": "finished"}

    resumed = run("run-experiment", str(tmp_path / "spec.yaml"), *given[2:])
    assert resumed.code == 0, resumed.output
    assert re.search("is the best of 2|2 of 2 trials are equal", resumed.output)
    (result,) = results_of(tmp_path).iterdir()
    assert len(noted_workers(result / "trials" / "lr-0.0001")) == 1  # It did not run again.
    assert statuses(tmp_path)["RUNNING"] == 0


# -- the start of Ray --------------------------------------------------------------------------------------------------------


class Stopper(threading.Thread):
    """Stops the first raylets of a driver: they do nothing more, as on a machine that is far too busy."""

    def __init__(self, driver: subprocess.Popen[str], count: int):
        super().__init__(daemon=True)
        self.driver, self.left = psutil.Process(driver.pid), count
        self.seen: set[int] = set()

    def run(self) -> None:
        while self.left and self.driver.is_running():
            for process in children_of(self.driver.pid) - self.seen:
                with suppress(psutil.NoSuchProcess):
                    if psutil.Process(process).name() == "raylet":
                        os.kill(process, signal.SIGSTOP)
                        self.seen.add(process)
                        self.left -= 1
            time.sleep(0.002)


def children_of(process: int) -> set[int]:
    """Ask the kernel, because psutil looks at all processes of the machine, in which time a raylet may have started."""
    found: set[int] = set()
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            found.update(map(int, (thread / "children").read_text().split()))
    return found


@pytest.mark.parametrize(("count", "code"), [(1, 0), (2, 1)])
def test_a_ray_that_does_not_start_is_tried_once_more(count: int, code: int, tmp_path: Path) -> None:
    done = run_disturbed(lambda: True, lambda driver: Stopper(driver, count).start(), *arguments(tmp_path))
    assert done.code == code, done.output
    assert "warning: Ray did not start in time; it is tried once more" in done.output
    if code:
        assert "error: stage retrieval: Ray did not start, twice (" in done.output
        assert "is the machine very busy, or short of memory or of room in" in done.output
        assert "Traceback" not in done.output
    assert none_left(tmp_path / "storage", seconds=15) == []


# -- a full disk -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=5M", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small file system, where the machine allows it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_trials_that_find_the_disk_full_run_again_when_there_is_room(small_disk: Path) -> None:
    sweep = "stages.retrieval.sweep={learning_rate: [1e-3, 1e-4], max_concurrent: 1}"
    given = arguments(small_disk, sweep, "stages.retrieval.evaluations_per_run=4")
    full = run(*given)
    assert full.code == 1
    assert "2 of 2 trials were lost" in full.output
    assert f"lr-0.001: No space left on device: {small_disk}" in full.output
    subprocess.run(["mount", "-o", "remount,size=500M", str(small_disk)], check=True)
    resumed = run("run-experiment", str(small_disk / "spec.yaml"), *given[2:])
    assert resumed.code == 0, resumed.output
    assert re.search("is the best of 2|2 of 2 trials are equal", resumed.output)
