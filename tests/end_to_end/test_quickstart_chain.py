"""The quickstart's chain through the command line, and what it leaves on disk and in MLflow."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from tests.end_to_end.commands import none_left, run, sets
from tests.end_to_end.conftest import SmallRun
from workflows.records.mlflow_store import local_store
from workflows.records.score_table import MEANS
from workflows.results.manifest import read_manifest

pytestmark = pytest.mark.slow

STAGES = (
    "corpus", "frames", "pretrain", "retrieval", "captioning", "answers",
    "zero-shot", "test-retrieval", "test-captioning", "test-answers",
)  # fmt: skip


def test_every_stage_succeeds_and_the_table_shows_baselines(small_run: SmallRun) -> None:
    assert small_run.done.code == 0, small_run.done.output
    for stage in STAGES:
        assert f"{stage}  " in small_run.done.output
    for text in ("text-to-video R@1", "chance", "CIDEr", "constant caption", "QA accuracy", "most frequent answer"):
        assert text in small_run.done.output
    assert "viewStateShareKey=cosa-compare-retrieval&" in small_run.done.output
    assert re.search(r"✓ R@1 [\d.]+ \([\d.]+ before re-ranking\)", small_run.done.output)
    assert small_run.done.output.count("text-to-video R@1 before re-ranking") == len(["zero-shot", "test-retrieval"])
    assert "test-captioning says, for example (all: " in small_run.done.output
    assert "Ray dashboard: http://127.0.0.1:" in small_run.done.output


def test_only_the_report_reaches_the_terminal(small_run: SmallRun) -> None:
    for chatter in ("(raylet)", "Traceback", "Warning", "alembic", "INFO", "warning:"):
        assert chatter not in small_run.done.output


def test_no_process_is_left(small_run: SmallRun) -> None:
    assert none_left(small_run.storage) == []


def test_each_result_has_a_manifest_that_says_where_it_comes_from(small_run: SmallRun) -> None:
    for stage in STAGES:
        (folder,) = (small_run.folder / stage).iterdir()
        manifest = read_manifest(folder)
        assert manifest is not None
        assert manifest.fingerprint == folder.name
        assert manifest.mlflow_run_id
        assert manifest.versions["torch"]
        assert manifest.seconds > 0
        for output in manifest.outputs.values():
            assert (folder / output).exists()
    assert not list(small_run.folder.rglob("*.partial"))


def test_frames_are_extracted_with_a_table_about_them(small_run: SmallRun) -> None:
    (folder,) = (small_run.folder / "frames").iterdir()
    table = pd.read_parquet(folder / "frames.parquet")
    assert len(table) == 24 + 6 + 8
    assert {"video_id", "frames", "duration", "width", "height", "bytes", "error"} <= set(table.columns)
    assert table["error"].isna().all()
    for row in table.itertuples():
        files = sorted((folder / "frames" / row.video_id).glob("*.jpg"))
        assert [file.name for file in files] == [f"frame_{i:04d}.jpg" for i in range(1, row.frames + 1)]
        assert row.frames == round(row.duration * 4)


def test_the_sweep_keeps_the_best_trial(small_run: SmallRun) -> None:
    (folder,) = (small_run.folder / "retrieval").iterdir()
    trials = json.loads((folder / "trials.json").read_text())
    assert len(trials) == 2
    manifest = read_manifest(folder)
    assert manifest is not None
    best = max(trials, key=lambda trial: trial["text_to_video_r1"])
    assert manifest.metrics["text_to_video_r1"] == best["text_to_video_r1"]
    assert manifest.details["best_learning_rate"] in [
        trial["learning_rate"] for trial in trials if trial["text_to_video_r1"] == best["text_to_video_r1"]
    ]
    assert (folder / "checkpoint" / "model.safetensors").is_file()


def test_an_unchanged_spec_runs_nothing_and_starts_no_ray(small_run: SmallRun) -> None:
    again = run(*small_run.arguments)
    assert again.code == 0
    assert "Nothing to do" in again.output
    assert "Ray dashboard" not in again.output
    assert "QA accuracy" in again.output


def test_only_what_depends_on_a_change_runs_again(small_run: SmallRun) -> None:
    changed = run("plan", *small_run.arguments[1:], *sets("stages.captioning.epochs=2"))
    lines = {line.lstrip(" │├└─").split()[0]: line for line in changed.output.splitlines() if line.startswith("  ")}
    assert "spec changed: stages.captioning.epochs 1 -> 2" in lines["captioning"]
    assert "input changed: captioning" in lines["test-captioning"]
    for stage in set(STAGES) - {"captioning", "test-captioning"}:
        assert " skip " in lines[stage], stage


def test_mlflow_shows_what_its_pages_need(small_run: SmallRun) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=local_store(small_run.storage))
    experiment = client.get_experiment_by_name("quickstart")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert all(run.info.status == "FINISHED" for run in runs)
    parent = min((r for r in runs if "mlflow.parentRunId" not in r.data.tags), key=lambda run: run.info.start_time)
    stages = {r.data.tags["cosa.stage"]: r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    assert set(stages) == set(STAGES)
    trials = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == stages["retrieval"].info.run_id]
    assert {float(trial.data.params["learning_rate"]) for trial in trials} == {2e-4, 4e-4}

    pretrain = stages["pretrain"]
    assert pretrain.data.params["concatenate"] == "3"
    assert pretrain.data.params["corpora.0.batch_size"] == "16"
    assert pretrain.data.params["model.contrastive_dim"] == "128"
    assert pretrain.data.params["seed"] == "50"
    for name in ("loss", "citc_loss", "learning_rate", "samples_per_second", "data_wait_share"):
        steps = [point.step for point in client.get_metric_history(pretrain.info.run_id, f"train/{name}")]
        assert steps == sorted(set(steps)), name
        assert steps, name
    history = client.get_metric_history(pretrain.info.run_id, "train/loss")
    assert [point.step for point in history] == [1, 2, 3, 4, 5, 6]

    names = {item.path for item in client.list_artifacts(pretrain.info.run_id)}
    assert {"costs.tsv", "trace.json.gz"} <= names

    test = stages["test-retrieval"]
    assert {"final/text_to_video_r1", "final/contrastive_text_to_video_r1"} <= set(test.data.metrics)
    assert test.data.metrics["baseline/text_to_video_r1"] == pytest.approx(100 / 8)
    assert len(test.data.tags["cosa.fingerprint"]) == 16
    assert "cosa.git_commit" in test.data.tags
    names = {item.path for item in client.list_artifacts(test.info.run_id)}
    assert {"predictions_retrieval.json", "scores_retrieval.parquet", "gallery_retrieval.html", "retrieved.png"} <= names
    assert "| 95 % interval |" in test.data.tags["mlflow.note.content"]
    assert not {"cosa.intervals", "cosa.parts"} & set(stages["test-answers"].data.tags)
    names = {item.path for item in client.list_artifacts(stages["retrieval"].info.run_id)}
    assert {"curves.png", "sweep.png", "trials.json", "checkpoint"} <= names
    assert any(item.path.endswith(".json") for item in client.list_artifacts(parent.info.run_id))


def test_every_sample_has_scores_whose_mean_is_the_metric(small_run: SmallRun) -> None:
    tasks = {"test-retrieval": "retrieval", "test-captioning": "captioning", "test-answers": "question_answering"}
    for stage, task in tasks.items():
        (folder,) = (small_run.storage / "quickstart" / stage).iterdir()
        manifest = json.loads((folder / "manifest.json").read_text())
        outputs = {name: manifest["outputs"][f"{name}_{task}"] for name in ("scores", "predictions", "gallery")}
        table = parquet.read_table(folder / outputs["scores"])
        predictions = json.loads((folder / outputs["predictions"]).read_text())
        assert table["video_id"].to_pylist() == [row["video_id"] for row in predictions]
        assert len(set(table["sample"].to_pylist())) == len(predictions)
        means = json.loads(table.schema.metadata[MEANS])
        assert means
        for name in means:
            low, high = manifest["details"]["intervals"][name]
            assert float(np.nanmean(table[name].to_numpy())) == pytest.approx(manifest["metrics"][name])
            assert low <= manifest["metrics"][name] <= high
        assert (folder / outputs["gallery"]).stat().st_size < 4_000_000
        assert len(manifest["details"]["examples"]) == 3


def test_what_was_altered_is_noticed_before_it_is_used(small_run: SmallRun, tmp_path: Path) -> None:
    """Weights of another stage with the same shapes are what a mix-up of folders gives."""
    storage = tmp_path / "storage"
    shutil.copytree(small_run.storage, storage)
    verified = run("verify", "--storage", str(storage))
    assert verified.code == 0, verified.output
    assert verified.output.count("  intact") == len(STAGES)
    stages = {stage: next((storage / "quickstart" / stage).iterdir()) for stage in STAGES}
    weights = Path("checkpoint", "model.safetensors")
    shutil.copy2(stages["answers"] / weights, stages["captioning"] / weights)
    done = run(*small_run.arguments, "--storage", str(storage), "--force", "test-captioning")
    assert done.code == 1
    assert "the content of checkpoint/model.safetensors is not what was written" in done.output
    assert "make it again with --force captioning" in done.output
    assert f"--set storage={storage} --force captioning" in done.output.replace('"', "").replace("'", "")
    assert "Ray dashboard" not in done.output
    (stages["answers"] / weights).unlink()
    planned = run("plan", *small_run.arguments[1:], "--storage", str(storage))
    lines = {line.lstrip(" │├└─").split()[0]: line for line in planned.output.splitlines() if line.startswith("  ")}
    assert "its result is damaged: checkpoint/model.safetensors is gone" in lines["answers"]
    verified = run("verify", "--storage", str(storage))
    assert verified.code == 1
    assert "2 of 10 results are damaged" in verified.output, "that of test-captioning is kept until there is a new one"


def test_frames_of_another_clip_are_noticed_when_they_are_read(small_run: SmallRun, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    shutil.copytree(small_run.storage, storage, symlinks=True)
    (extracted,) = (storage / "quickstart" / "frames").iterdir()
    (evaluated,) = (storage / "quickstart" / "test-captioning").iterdir()
    predictions = json.loads((evaluated / "predictions_captioning.json").read_text())
    first, second = (entry["video_id"] for entry in predictions[:2])
    for frame in (extracted / "frames" / first).glob("*.jpg"):
        shutil.copy2(frame, extracted / "frames" / second / frame.name)
    done = run(*small_run.arguments, "--storage", str(storage), "--force", "test-captioning")
    assert done.code == 1
    message = r"/frame_\d+\.jpg is not the frame that extraction wrote; make the frames again with --force"
    assert re.search(message, done.output), done.output
    assert "Traceback" not in done.output
    verified = run("verify", "--storage", str(storage))
    assert re.search(rf"clip {second}: .*/frame_0001.jpg is not the frame that extraction wrote", verified.output)
    assert "1 of 10 results are damaged" in verified.output
