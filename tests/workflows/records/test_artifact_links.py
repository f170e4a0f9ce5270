"""Checkpoints among MLflow's artifacts, without a second copy."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from workflows.records.artifact_links import link_model, log_folder
from workflows.records.mlflow_store import local_artifacts


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "result" / "checkpoint"
    (folder / "more").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "more" / "notes.txt").write_text("text")
    return folder


def new_run(folder: Path) -> tuple[Any, str]:
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("a", local_artifacts(folder / "odd #%? name"))
    return client, client.create_run(experiment).info.run_id


def found(client: Any, run: str, folder: str) -> dict[str, int]:
    return {item.path: item.file_size for item in client.list_artifacts(run, folder)}


def test_it_is_stored_once_and_mlflow_finds_it(tmp_path: Path, checkpoint: Path) -> None:
    client, run = new_run(tmp_path)
    for _ in range(2):
        log_folder(client, run, checkpoint, "checkpoint")
    assert found(client, run, "checkpoint") == {"checkpoint/model.safetensors": 7, "checkpoint/more": None}
    downloaded = Path(client.download_artifacts(run, "checkpoint/more/notes.txt"))
    assert downloaded.read_text() == "text"
    assert os.stat(checkpoint / "model.safetensors").st_nlink == 2  # noqa: PTH116


def test_on_another_file_system_it_is_copied(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    client, run = new_run(tmp_path)
    log_folder(client, run, checkpoint, "checkpoint")
    assert found(client, run, "checkpoint")["checkpoint/model.safetensors"] == 7
    assert (checkpoint / "model.safetensors").stat().st_nlink == 1


def test_a_logged_model_has_the_same_files(tmp_path: Path, checkpoint: Path) -> None:
    client, run = new_run(tmp_path)
    model = client.create_logged_model(client.get_run(run).info.experiment_id, "a", run, {}, {}, "")
    for _ in range(2):
        link_model(client, model.model_id, checkpoint)
    [linked] = tmp_path.rglob(f"models/{model.model_id}/artifacts/model.safetensors")
    assert linked.samefile(checkpoint / "model.safetensors")


def test_a_logged_model_has_all_files_or_none(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, run = new_run(tmp_path)
    model = client.create_logged_model(client.get_run(run).info.experiment_id, "a", run, {}, {}, "")
    link, linked = os.link, []

    def refuse_the_second(*names: Any) -> None:
        if linked:
            raise OSError(errno.EMLINK, "Too many links")
        linked.append(names)
        link(*names)

    monkeypatch.setattr(os, "link", refuse_the_second)
    link_model(client, model.model_id, checkpoint)
    assert linked
    assert not [path for path in tmp_path.rglob(f"models/{model.model_id}/**/*") if path.is_file()]
