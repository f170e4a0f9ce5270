"""A tracking server that is stopped and started again in the middle of a run: nothing is lost, nothing is there twice."""

import threading
import time
from pathlib import Path

import pytest

from tests.tracking_server import TrackingServer
from tests.workflows.records.test_model_registry import CHECKPOINT_FILES, version_tags
from workflows.records import tracking
from workflows.records.mlflow_store import TrackingStore
from workflows.records.tracking import Tracker
from workflows.terminal.reporter import Reporter

pytestmark = pytest.mark.slow

STEPS = 120
VALUES = {"train/loss": 2.0, "train/learning_rate": 1e-3}


def test_a_server_that_restarts_has_every_step_once(
    tmp_path: Path, server: TrackingServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setattr(tracking, "RETRY_SECONDS", 0.3)
    monkeypatch.setattr(tracking, "GATHER_SECONDS", 0.2)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for name, text in CHECKPOINT_FILES.items():
        (checkpoint / name).write_text(text)
    one = Tracker(TrackingStore(server.uri, "demo", None), tmp_path / "unsent.jsonl", Reporter())
    run = one.new_run("stage", note=tmp_path / "run.json")
    restarted = threading.Thread(target=server.start)
    slowest = 0.0
    for step in range(1, STEPS + 1):
        if step == 40:
            server.stop()
        if step == 80:
            restarted.start()
        before = time.monotonic()
        run.metrics({name: value / step for name, value in VALUES.items()}, step=step)
        slowest = max(slowest, time.monotonic() - before)
        time.sleep(0.02)
    run.artifact(checkpoint, "checkpoint")
    run.register(checkpoint, "checkpoint", "restarted", version_tags("a", 1.0))
    run.end("FINISHED")
    restarted.join()
    one.close(60)

    assert slowest < 0.5  # training never waits
    assert capsys.readouterr().out.count("cannot be used") == 1
    assert not (tmp_path / "unsent.jsonl").exists()
    client = MlflowClient(tracking_uri=server.uri)
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    for name, value in VALUES.items():
        history = client.get_metric_history(found.info.run_id, name)
        assert [(point.step, point.value) for point in history] == [(step, value / step) for step in range(1, STEPS + 1)]
    assert len(client.search_model_versions("name = 'restarted'")) == 1
    (folder,) = [item.path for item in client.list_artifacts(found.info.run_id)]
    assert {Path(item.path).name for item in client.list_artifacts(found.info.run_id, folder)} == set(CHECKPOINT_FILES)
