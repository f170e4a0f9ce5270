"""A checkpoint of a run, or of a registered model, comes from MLflow."""

import logging
import os
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

import cosa
from cosa.errors import UserError
from tests.cosa.inference.models import saved
from workflows.records import fetched_checkpoint
from workflows.records.artifact_links import log_folder
from workflows.records.fetched_checkpoint import MlflowPlace, fetch
from workflows.records.mlflow_store import local_artifacts, local_store
from workflows.records.model_registry import register


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("storage").mkdir()
    return tmp_path


def recorded(checkpoint: Path | None, storage: Path = Path("storage")) -> tuple[MlflowClient, str]:
    client = MlflowClient(tracking_uri=local_store(storage))
    experiment = client.create_experiment("a", local_artifacts(storage))
    run = client.create_run(experiment).info.run_id
    if checkpoint is not None:
        log_folder(client, run, checkpoint, "checkpoint")
    return client, run


def test_on_this_machine_it_is_used_where_it_is(here: Path) -> None:
    own = saved(here / "own")
    client, run = recorded(own)
    assert (fetch(run) / "model.safetensors").samefile(own / "model.safetensors")
    register(client, run, "checkpoint", own, "shapes", {"cosa.checkpoint_sha256": "0", "cosa.fingerprint": "0"})
    for name in ("shapes", "shapes@champion", "shapes/1"):
        assert fetch(name) == fetch(run)
    assert cosa.load(f"mlflow:{run}", device="cpu").settings.task == "captioning"


def test_from_elsewhere_it_is_copied_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = saved(here / "own")
    _, run = recorded(own)
    monkeypatch.setattr(fetched_checkpoint, "local_folder", lambda address: None)
    copy = fetch(run)
    assert copy.is_relative_to(here / "cache")
    assert (copy / "model.safetensors").read_bytes() == (own / "model.safetensors").read_bytes()
    (copy / "model.safetensors").touch()
    monkeypatch.setattr(MlflowClient, "download_artifacts", None)
    assert fetch(run) == copy
    assert [path.name for path in (here / "cache" / "cosa-experiments").iterdir()] == [run]


def test_what_is_not_there_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, run = recorded(None)
    for name, says in (
        (run, f"mlflow:{run} has no checkpoint among its artifacts"),
        ("0" * 32, "mlflow:0+ cannot be fetched from .*not found"),
        ("shapes", "mlflow:shapes cannot be fetched from .*not found"),
    ):
        with pytest.raises(UserError, match=says):
            fetch(name)
    monkeypatch.chdir(here / "storage")
    with pytest.raises(UserError, match=r"no MLflow store in .*name the folder of the results with --storage, or set MLFLOW"):
        fetch(run)
    with pytest.raises(UserError, match=r"no MLflow store in .*/other; leave out --storage and set MLFLOW_TRACKING_URI"):
        fetch(run, here / "other")


@pytest.mark.parametrize("name", ["", "a/b", "a/", "/1", "@champion", "a@", "a@b@c", "a/1/2"])
def test_what_can_be_no_name_is_refused_before_anything_is_opened(here: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"mlflow:{name} names no run and no model; expected mlflow:RUN .*NAME/VERSION"):
        fetch(name)


def test_a_storage_that_is_named_counts_before_a_server(here: Path) -> None:
    own = saved(here / "own")
    Path("elsewhere").mkdir()
    _, run = recorded(own, Path("elsewhere"))
    server = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    assert MlflowPlace.of(None, server).store == "http://127.0.0.1:9"
    assert MlflowPlace.of(Path("elsewhere"), server).store == local_store(here / "elsewhere")
    assert fetch(run, Path("elsewhere"), server).is_relative_to(here / "elsewhere")
    with pytest.raises(UserError, match=f"no MLflow store in {here}/storage"):
        fetch(run)


def test_the_process_stays_as_it_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, run = recorded(saved(here / "own"))
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "maybe")
    before, levels = dict(os.environ), [logging.getLogger(name).level for name in ("mlflow", "alembic")]
    fetch(run)
    assert dict(os.environ) == before
    assert [logging.getLogger(name).level for name in ("mlflow", "alembic")] == levels
