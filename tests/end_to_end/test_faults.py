"""What goes wrong for real: interruptions, killed processes, unreadable clips, a dead tracking server, taken ports."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from cosa.checksums import CHECKSUMS
from tests.end_to_end.commands import (
    ROOT,
    SMALL_CORPUS,
    SMALL_TRAINING,
    command,
    command_line_of,
    copy_results,
    losses,
    none_left,
    processes_of,
    run,
    run_disturbed,
    run_until,
    sets,
)
from tests.end_to_end.tiny import results_of, tiny_experiment
from tests.tracking_server import TrackingServer
from workflows.execution.checkpoints import SNAPSHOT, saved_checkpoints
from workflows.execution.progress import PROGRESS_FILE, read_records
from workflows.execution.run_folder import RunFolder
from workflows.results.locks import exclusive, holder_of
from workflows.results.storage import Storage

pytestmark = pytest.mark.slow

WITHOUT_FINETUNING = (
    *(f"stages.{name}=" for name in ("retrieval", "captioning", "answers")),
    *(f"stages.test-{name}=" for name in ("retrieval", "captioning", "answers")),
)
# Only the corpus, its frames and pretraining, in twenty-four steps with twelve checkpoints.
PRETRAIN_ONLY = (
    *SMALL_CORPUS,
    *SMALL_TRAINING,
    *WITHOUT_FINETUNING,
    "stages.zero-shot=",
    "stages.pretrain.corpora.0.steps=8",
    "stages.pretrain.corpora.1.steps=8",
    "stages.pretrain.corpora.2.steps=8",
    "stages.pretrain.evaluations_per_run=3",
    "stages.pretrain.checkpoint_every=2",
)


def arguments(storage: Path, *more: str) -> tuple[str, ...]:
    return ("run-experiment", "experiments/quickstart.yaml", *sets(f"storage={storage}", *PRETRAIN_ONLY, *more))


@pytest.fixture
def prepared(tmp_path: Path, undisturbed: Path) -> Path:
    """A storage folder in which corpus and frames are there already, so that tests of training start with it."""
    copy_results(undisturbed.parents[2], tmp_path, "quickstart", "corpus", "frames")
    return tmp_path


def partial(storage: Path) -> Path | None:
    return next((storage / "quickstart" / "pretrain").glob("*.partial"), None)


def result(storage: Path) -> Path:
    (folder,) = (storage / "quickstart" / "pretrain").iterdir()
    return folder


def has_step(storage: Path, step: int) -> bool:
    folder = partial(storage)
    return folder is not None and any(record.step >= step for record in read_records(folder))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("undisturbed")
    done = run(*arguments(storage))
    assert done.code == 0, done.output
    return result(storage)


def training_workers(storage: Path) -> list[psutil.Process]:
    return [process for process in processes_of(storage) if "RayTrainWorker" in command_line_of(process)]


def truncate_latest_checkpoint(storage: Path) -> Path:
    folder = partial(storage)
    assert folder is not None
    (run_folder,) = (folder / "ray").iterdir()
    saved = [run_folder / name for _, name in sorted(saved_checkpoints(RunFolder.at(run_folder)).items())]
    known = (run_folder / SNAPSHOT).read_text()  # The kill may have left one that was not reported, or a part of one.
    newest = [path for path in saved if path.name in known and (path / CHECKSUMS).exists()][-1]
    state = newest / "training_state.pt"
    os.truncate(state, state.stat().st_size // 2)
    return newest


def workers_ended(storage: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while training_workers(storage):
        assert time.monotonic() < deadline, "Ray's workers outlive their driver"
        time.sleep(0.2)


def goes_on(storage: Path) -> Callable[[], bool]:
    """The condition that training writes records again, and not only those of an earlier run are there."""
    folder, now = partial(storage), time.time()
    assert folder is not None
    return lambda: bool(training_workers(storage)) and (folder / PROGRESS_FILE).stat().st_mtime > now


def kill_a_worker(storage: Path) -> Callable[[object], None]:
    def kill(_: object) -> None:
        (worker, *_others) = training_workers(storage)
        parent = worker.parent()
        assert parent is not None
        assert "fork_server.py" in command_line_of(parent)
        worker.kill()

    return kill


def test_a_run_that_is_stopped_again_and_again_ends_the_same(prepared: Path, undisturbed: Path) -> None:
    """By Ctrl-C, SIGTERM, kill -9 of the driver and of a worker; a damaged checkpoint costs no result either."""
    for sent, code, step in ((signal.SIGINT, 130, 2), (signal.SIGTERM, 75, 5)):
        stopped = run_until(lambda step=step: has_step(prepared, step), sent, *arguments(prepared))  # type: ignore[misc]
        assert stopped.code == code
        assert "interrupted; finished stages are saved, and it " in stopped.output
        assert "run-experiment experiments/quickstart.yaml" in stopped.output
        assert "Traceback" not in stopped.output
        assert "pretrain: training saves and ends " in stopped.output
        before = partial(prepared)  # It has saved first: no step is done twice.
        assert before is not None
        (run_folder,) = (before / "ray").iterdir()
        saved = max(saved_checkpoints(RunFolder.at(run_folder)))
        assert saved == max(losses(before))

    killed = run_until(lambda: has_step(prepared, 9), signal.SIGKILL, *arguments(prepared))
    assert f"interrupted: resumes at step {saved}\n" in re.sub(" +\n", "\n", killed.output)
    workers_ended(prepared)  # one of the killed run must not be taken for one of the next
    damaged = truncate_latest_checkpoint(prepared)
    resumed = run_disturbed(goes_on(prepared), kill_a_worker(prepared), *arguments(prepared))
    assert f"{damaged.name} is damaged: training_state.pt differs" in resumed.output
    assert "no checkpoint is intact" not in resumed.output
    assert "a worker was killed from outside" in resumed.output
    assert "The workers start again from their latest checkpoint" in resumed.output
    assert resumed.code == 0, resumed.output
    assert losses(result(prepared)) == losses(undisturbed)
    ours, theirs = (load_file(folder / "checkpoint" / "model.safetensors") for folder in (result(prepared), undisturbed))
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert none_left(prepared) == []


def test_a_corpus_that_lost_an_image_is_made_again(prepared: Path, undisturbed: Path) -> None:
    (corpus,) = (prepared / "quickstart" / "corpus").iterdir()
    (corpus / "images" / "image_00007.jpg").unlink()
    done = run(*arguments(prepared))
    assert done.code == 0, done.output
    assert "its result is damaged: images/image_00007.jpg is gone" in " ".join(done.output.split())
    assert (corpus / "images" / "image_00007.jpg").exists()
    assert losses(result(prepared)) == losses(undisturbed)


def test_a_missing_image_ends_training_before_its_first_step(tmp_path: Path) -> None:
    spec = tiny_experiment(tmp_path)
    (tmp_path / "images" / "v3.png").unlink()
    refused = run("run-experiment", spec)
    assert refused.code == 1
    assert "no image 'v3' in" in " ".join(refused.output.split())
    assert not list(results_of(tmp_path).rglob("progress.jsonl"))


def test_an_unreadable_clip_is_named_and_can_be_allowed(tmp_path: Path, undisturbed: Path) -> None:
    corpus = undisturbed.parents[1] / "corpus"
    (made,) = corpus.iterdir()
    clips = tmp_path / "clips"
    clips.mkdir()
    captions = json.loads((made / "clips_test.json").read_text())
    for entry in captions:
        (clips / f"{entry['video_id']}.mp4").write_bytes((made / "clips" / f"{entry['video_id']}.mp4").read_bytes())
    broken = clips / "test_00003.mp4"
    broken.write_bytes(broken.read_bytes()[:700])
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"name: broken\nstorage: {tmp_path}/storage\ndatasets:\n"
        f"  clips: {{media: video, root: {clips}, splits: {{test: {made}/clips_test.json}}}}\n"
        "stages:\n  frames: {kind: extract, dataset: clips}\n"
    )
    refused = run("run-experiment", str(spec))
    assert refused.code == 1
    assert "1 of 8 clips" in refused.output
    assert "    test_00003.mp4 is not a video, or incomplete or damaged; fetch it again" in refused.output
    assert "stages.frames.max_unreadable=1" in refused.output
    assert "Traceback" not in refused.output

    allowed = run("run-experiment", str(spec), *sets("stages.frames.max_unreadable=1"))
    assert allowed.code == 0, allowed.output
    assert "1 unreadable left out" in allowed.output
    assert "    test_00003.mp4 is not a video" in allowed.output


def test_a_taken_dashboard_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run(*arguments(tmp_path, f"cluster.dashboard_port={port}"))
    assert refused.code == 1
    assert f"cluster.dashboard_port: port {port} is in use" in refused.output


def test_a_dead_tracking_server_stops_nothing_and_gets_its_records_later(tmp_path: Path) -> None:
    server = TrackingServer(tmp_path)
    done = run(*arguments(tmp_path, f"tracking.uri={server.uri}", "stages.pretrain=", "stages.frames="))
    assert done.code == 0, done.output
    assert "cannot be used" in done.output
    (unsent,) = (tmp_path / "quickstart").glob("unsent-*.jsonl")
    assert f"cosa sync {unsent}" in done.output.replace("\n", "")

    server.start()
    try:
        sent = run("sync", str(unsent))
        assert sent.code == 0, sent.output
        assert not unsent.exists()
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=server.uri)
        experiment = client.get_experiment_by_name("quickstart")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        assert {r.data.tags.get("cosa.stage") for r in runs} == {None, "corpus"}
        assert all(r.info.status == "FINISHED" for r in runs)
    finally:
        server.stop()


def test_the_second_of_two_runs_waits_and_finds_the_result(tmp_path: Path) -> None:
    """Both want the same corpus: one makes it, while the other says for whom it waits, or refuses to."""
    corpus_only = arguments(tmp_path, "stages.pretrain=", "stages.frames=")
    corpus = next(step for step in _plan_of(corpus_only) if step["name"] == "corpus")
    storage = Storage(tmp_path, "quickstart")
    lock = storage.lock_file(corpus["fingerprint"])
    with exclusive(lock, "the corpus"):
        refused = run(*corpus_only, "--no-wait")
        assert refused.code == 1
        assert f"error: stage corpus is in progress: process {os.getpid()} on " in refused.output
        assert "resume with" not in refused.output
        assert "in progress: process" in run("plan", *corpus_only[1:]).output
    first = subprocess.Popen(command(*corpus_only), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while holder_of(lock) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = run(*corpus_only)
    output, _ = first.communicate()
    assert (first.returncode, second.code) == (0, 0), output + second.output
    assert f"corpus: waiting for process {first.pid} on " in second.output
    assert "done meanwhile by another run" in second.output
    assert len(list((tmp_path / "quickstart" / "corpus").iterdir())) == 1


def _plan_of(of: tuple[str, ...]) -> list[dict[str, str]]:
    return json.loads(run("plan", *of[1:], "--json").output)["stages"]  # type: ignore[no-any-return]


def test_the_real_clips_run_from_real_mp4_files(tmp_path: Path) -> None:
    done = run(
        "run-experiment",
        str(ROOT / "experiments" / "real-clips.yaml"),
        *sets(
            f"storage={tmp_path}",
            "stages.pretrain.corpora.0.steps=2",
            "stages.pretrain.workers=1",
            "stages.zero-shot=",
            *WITHOUT_FINETUNING,
        ),
    )
    assert done.code == 0, done.output
    assert "frames of 15 clips" in done.output
    assert "2 steps, loss" in done.output
