"""What a run leaves in MLflow beyond curves: checkpoints, registered models, the table of stages, and all of it although the
server went away in between."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cosa.checkpoints.loading import load_model
from cosa.checksums import sha256_of
from tests.end_to_end.commands import SMALL_CORPUS, SMALL_TRAINING, copy_results, run, run_disturbed, sets
from tests.end_to_end.conftest import SmallRun
from tests.end_to_end.tiny import tiny_experiment
from tests.tracking_server import TrackingServer
from workflows.execution.progress import read_records
from workflows.records.mlflow_store import local_store
from workflows.records.tracking import GATHER_SECONDS
from workflows.records.ui_pages import run_path

pytestmark = pytest.mark.slow

STEPS = 36


def client_of(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs_of(client: Any) -> list[Any]:
    """All runs of the experiment, the latest invocation's first."""
    found = client.search_runs([client.get_experiment_by_name("quickstart").experiment_id])
    return sorted(found, key=lambda run: -run.info.start_time)


def stage_run(client: Any, stage: str) -> Any:
    """The one run of a stage."""
    (found,) = [
        r for r in runs_of(client) if r.data.tags.get("cosa.stage") == stage and r.data.tags["cosa.stage_kind"] != "trial"
    ]
    return found


def artifacts(client: Any, run_id: str, folder: str | None = None) -> set[str]:
    return {item.path for item in client.list_artifacts(run_id, folder)}


def latest_parent(client: Any) -> Any:
    return next(run for run in runs_of(client) if "mlflow.parentRunId" not in run.data.tags)


def test_all_checkpoints_of_evaluations_are_in_mlflow(small_run: SmallRun) -> None:
    client = client_of(local_store(small_run.storage))
    captioning = stage_run(client, "captioning").info.run_id  # evaluated after steps 2, 3 and 4, of which the last is kept
    assert {"checkpoint", "checkpoints"} <= artifacts(client, captioning)
    assert artifacts(client, captioning, "checkpoints") == {"checkpoints/step_00000002", "checkpoints/step_00000003"}
    files = artifacts(client, captioning, "checkpoints/step_00000002")
    names = {Path(file).name for file in files}
    assert names == {"model.safetensors", "config.json", "settings.json", "vocab.txt"}  # no training state
    retrieval = stage_run(client, "retrieval")
    trials = [r for r in runs_of(client) if r.data.tags.get("mlflow.parentRunId") == retrieval.info.run_id]
    assert len(trials) == 2
    for trial in trials:
        assert "checkpoints/step_00000002" in artifacts(client, trial.info.run_id, "checkpoints")


def test_trials_can_be_compared(small_run: SmallRun) -> None:
    client = client_of(local_store(small_run.storage))
    retrieval = stage_run(client, "retrieval")
    trials = [r for r in runs_of(client) if r.data.tags.get("mlflow.parentRunId") == retrieval.info.run_id]
    first, second = (trial.data.params for trial in trials)
    assert {name for name in first if first[name] != second.get(name)} == {"learning_rate"}
    assert first["batch_size"] == retrieval.data.params["batch_size"]
    (best,) = [trial for trial in trials if trial.data.tags.get("cosa.best_trial") == "yes"]
    value = retrieval.data.metrics["final/text_to_video_r1"]
    assert best.data.metrics["final/text_to_video_r1"] == value
    assert all(trial.data.metrics["final/text_to_video_r1"] <= value for trial in trials)


def test_the_registered_model_can_be_loaded(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    client = client_of(local_store(small_run.storage))
    version = client.get_model_version_by_alias("demo-retrieval", "champion")
    (folder,) = (small_run.folder / "retrieval").iterdir()
    assert version.tags["cosa.fingerprint"] == folder.name
    assert version.tags["cosa.checkpoint_sha256"] == sha256_of(folder / "checkpoint" / "model.safetensors")
    assert version.tags["cosa.metric_name"] == "text_to_video_r1"
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_store(small_run.storage))
    downloaded = Path(mlflow.artifacts.download_artifacts("models:/demo-retrieval@champion", dst_path=str(tmp_path)))
    assert sha256_of(downloaded / "model.safetensors") == version.tags["cosa.checkpoint_sha256"]
    assert load_model(downloaded).config.contrastive_dim == 128


def test_surroundings_are_recorded(small_run: SmallRun) -> None:
    client = client_of(local_store(small_run.storage))
    parent = runs_of(client)[-1]
    assert {"spec.json", "environment.json"} <= artifacts(client, parent.info.run_id)
    facts = json.loads(Path(client.download_artifacts(parent.info.run_id, "environment.json")).read_text())
    assert facts["seed"] == 50
    assert "run-experiment experiments/quickstart.yaml" in facts["command"]
    assert facts["packages"]["ray"].startswith("2.")


def test_an_invocation_shows_what_came_out(small_run: SmallRun) -> None:
    client = client_of(local_store(small_run.storage))
    parent = runs_of(client)[-1]
    assert parent.info.run_name.startswith("corpus.options.images=96 ")
    for stage, metric in (("test-retrieval", "text_to_video_r1"), ("captioning", "cider"), ("pretrain", "final_loss")):
        measured = stage_run(client, stage).data.metrics[f"final/{metric}"]
        assert parent.data.metrics[f"{stage}/{metric}"] == pytest.approx(measured, rel=1e-3), stage
    assert parent.data.params["stages.captioning.evaluations_per_run"] == "3"
    assert "stages.captioning.warmup_ratio" not in parent.data.params  # It is the usual one.
    assert parent.data.tags["mlflow.note.content"].startswith("| results of | metric | value |")
    assert len(parent.outputs.model_outputs) == 4  # one for each stage that trains
    retrieval = stage_run(client, "retrieval")
    read = {data.dataset.name: data.tags[0].value for data in retrieval.inputs.dataset_inputs}
    assert read == {"clips/train/captions": "training", "clips/validation/captions": "validation"}
    pretrain = stage_run(client, "pretrain")
    assert 0 < pretrain.data.metrics["system/system_memory_usage_percentage"] < 100
    [model] = client.search_logged_models([parent.info.experiment_id], f"source_run_id = '{retrieval.info.run_id}'")
    measured_on = {metric.dataset_name for metric in model.metrics if metric.key == "final/text_to_video_r1"}
    assert measured_on == {"clips/validation/captions", "clips/test/captions"}
    assert float(model.params["learning_rate"]) in (2e-4, 4e-4)  # that of the winner


def test_a_finished_stage_is_linked_and_can_be_registered_later(small_run: SmallRun) -> None:
    """Without running anything, and once."""
    later = (*small_run.arguments, *sets("stages.captioning.register_as=demo-captions"))
    registered = run(*later)
    assert registered.code == 0, registered.output
    assert "Ray dashboard" not in registered.output
    assert "captioning is registered as demo-captions, version 1 (its champion)" in " ".join(registered.output.split())
    client = client_of(local_store(small_run.storage))
    captioning = stage_run(client, "captioning").info
    (version,) = client.search_model_versions("name = 'demo-captions'")
    assert version.run_id == captioning.run_id
    parent = latest_parent(client)
    assert parent.data.tags["cosa.reused.captioning"] == captioning.run_id
    table = parent.data.tags["mlflow.note.content"]
    link = f"[{captioning.run_id[:8]}]({run_path(captioning.experiment_id, captioning.run_id)})"
    assert f"| captioning | finetune | reused | CIDEr 0.0 on validation | {link} |" in table
    assert table.count("| reused |") == 10
    assert len(client.search_model_versions("name = 'demo-retrieval'")) == 1

    again = run(*later)
    assert "Nothing to do" in again.output
    assert latest_parent(client).info.run_id == parent.info.run_id
    first = runs_of(client)[-1].data.tags["mlflow.note.content"]
    assert first.count("| run |") == 10


def uploading(uri: str) -> tuple[str, str]:
    return f"tracking.uri={uri}", "tracking.checkpoints=upload"


def test_training_outlives_its_server_and_no_step_is_missing(
    tmp_path: Path, small_run: SmallRun, server: TrackingServer
) -> None:
    storage = tmp_path / "storage"
    copy_results(small_run.storage, storage, "quickstart", "corpus", "frames")

    def has_step(step: int) -> bool:
        folders = list((storage / "quickstart" / "pretrain").glob("*"))
        return bool(folders) and any(record.step >= step for record in read_records(folders[0]))

    def away_for_a_while(driver: subprocess.Popen[str]) -> None:
        server.stop()
        noticed = time.monotonic() + GATHER_SECONDS + 3  # metrics gather for a while before they are sent
        while driver.poll() is None and not (has_step(STEPS // 2) and time.monotonic() > noticed):
            time.sleep(0.1)
        server.start()

    done = run_disturbed(
        lambda: has_step(STEPS // 10),
        away_for_a_while,
        *("run-experiment", "experiments/quickstart.yaml", "--only", "pretrain"),
        *sets(f"storage={storage}", *SMALL_CORPUS, *SMALL_TRAINING, *uploading(server.uri)),
        *sets(*(f"stages.pretrain.corpora.{i}.steps={STEPS // 3}" for i in range(3)), "stages.pretrain.register_as=demo"),
    )
    assert done.code == 0, done.output
    assert "the run continues, records wait" in done.output
    for unsent in (storage / "quickstart").glob("unsent-*.jsonl"):  # it had ended before the server was back
        assert run("sync", str(unsent)).code == 0
    client = client_of(server.uri)
    pretrain = stage_run(client, "pretrain")
    assert pretrain.info.status == latest_parent(client).info.status == "FINISHED"
    for name in ("train/loss", "train/citc_loss", "train/learning_rate", "train/samples_per_second"):
        steps = [point.step for point in client.get_metric_history(pretrain.info.run_id, name)]
        assert steps == sorted(set(steps)), name
        if name != "train/citc_loss":  # only one corpus has that objective
            assert steps == list(range(1, STEPS + 1)), name
    assert "checkpoint" in artifacts(client, pretrain.info.run_id)
    assert "spec.json" in artifacts(client, latest_parent(client).info.run_id)
    assert len(client.search_model_versions("name = 'demo'")) == 1


def test_what_a_server_that_was_away_has_missed_is_sent_once(tmp_path: Path, server: TrackingServer) -> None:
    """The same command has nothing to do meanwhile: the records wait in a file, for cosa sync."""
    server.stop()
    spec = tiny_experiment(tmp_path)
    given = ("run-experiment", spec, *sets(f"storage={tmp_path}/storage", *uploading(server.uri)))
    assert run(*given).code == 0
    (unsent,) = (tmp_path / "storage" / "tiny").glob("unsent-*.jsonl")
    again = run(*given)
    assert "Nothing to do" in again.output, again.output
    server.start()
    assert run("sync", str(unsent)).code == 0
    assert "Nothing to do" in run(*given).output
    client = client_of(server.uri)
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted((found.data.tags.get("cosa.stage") == "retrieval", found.info.status) for found in runs) == [
        (False, "FINISHED"), (True, "FINISHED"),
    ]  # fmt: skip
    (stage,) = (found for found in runs if found.data.tags.get("cosa.stage") == "retrieval")
    assert "checkpoint" in artifacts(client, stage.info.run_id)
