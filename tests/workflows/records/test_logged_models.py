"""Models and data of runs, in an MLflow store."""

from pathlib import Path

import pytest

from tests.workflows.records.test_tracking import client_of, store, tracker  # noqa: F401 -- a fixture
from workflows.records.logged_models import LONGEST_DIGEST, MODEL_TYPE, model_of
from workflows.records.mlflow_store import TrackingStore
from workflows.records.tracking import RunRecorder, Tracker

TRAIN = {"name": "clips/train", "digest": "a" * 64, "context": "training", "source": "clips"}
TEST = {"name": "clips/test", "digest": "b" * 16, "context": "evaluation", "source": "clips"}


def invocation(one: Tracker) -> tuple[RunRecorder, RunRecorder, RunRecorder]:
    """An invocation, a stage that trains, and one that evaluates its model."""
    parent = one.new_run("demo")
    trained, evaluated = one.new_run("retrieval", parent), one.new_run("test", parent)
    trained.datasets([TRAIN])
    trained.model(parent, "retrieval", {"model": {"vision": {"depth": 2}}}, {"cosa.checkpoint_path": "/x"})
    evaluated.datasets([TEST])
    evaluated.metrics_of_model(trained, {"final/text_to_video_r1": 57.0}, TEST, 1000.0)
    return parent, trained, evaluated


def test_models_data_and_figures(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    one = tracker(store, tmp_path)
    parent, trained, evaluated = invocation(one)
    one.close()
    client = client_of(store)
    model = model_of(client, str(one.experiment_id), str(trained.mlflow_id))
    assert (model.name, model.model_type, str(model.status)) == ("retrieval", MODEL_TYPE, "READY")
    assert model.params == {"model.vision.depth": "2"}
    assert model.tags["cosa.checkpoint_path"] == "/x"
    [metric] = model.metrics
    assert (metric.key, metric.value, metric.dataset_name) == ("final/text_to_video_r1", 57.0, "clips/test")
    for run in (parent, trained):
        assert [output.model_id for output in client.get_run(run.mlflow_id).outputs.model_outputs] == [model.model_id]
    [data] = client.get_run(trained.mlflow_id).inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("clips/train", "a" * LONGEST_DIGEST)
    assert data.tags[0].value == "training"
    assert client.get_run(evaluated.mlflow_id).data.metrics == {"final/text_to_video_r1": 57.0}


def test_what_is_sent_twice_is_there_once(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    """The answer to a call may get lost."""
    one = tracker(store, tmp_path)
    put, twice = one.put, ("datasets", "model", "model_metrics", "model_shown")
    one.put = lambda operation: [put(operation) for _ in range(2 if operation["do"] in twice else 1)]  # type: ignore
    parent, trained, _ = invocation(one)
    parent.shows_model_of(trained)
    one.close()
    client = client_of(store)
    [model] = client.search_logged_models([str(one.experiment_id)])
    assert len(model.metrics) == 1
    assert len(client.get_run(parent.mlflow_id).outputs.model_outputs) == 1
    assert len(client.get_run(trained.mlflow_id).inputs.dataset_inputs) == 1


def test_figures_of_a_run_without_a_model(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    """A run of an older version has recorded none: nothing is recorded then, and nothing refused."""
    one = tracker(store, tmp_path)
    trained, evaluated = one.new_run("retrieval"), one.new_run("test")
    for made_by in (trained, one.known_run("gone")):
        evaluated.metrics_of_model(made_by, {"final/cider": 1.0}, None, 1.0)
        evaluated.shows_model_of(made_by)
    one.close()
    assert one._reported == set()
    assert client_of(store).get_run(evaluated.mlflow_id).data.metrics == {}


def test_what_an_interrupted_attempt_left_out_of_a_model_is_added(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    """A server gets parameters in several calls."""
    one = tracker(store, tmp_path)
    run = one.new_run("retrieval")
    one.flush(30)
    client = client_of(store)
    client.create_logged_model(str(one.experiment_id), "retrieval", str(run.mlflow_id), {}, {"first": "1"})
    run.model(run, "retrieval", {"first": 1, "second": 2}, {})
    one.close()
    [model] = client.search_logged_models([str(one.experiment_id)])
    assert (model.params, str(model.status)) == ({"first": "1", "second": "2"}, "READY")


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_models_gets_everything_else(
    status: int, tmp_path: Path, store: TrackingStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    """It is no reason to wait for it."""
    from mlflow.exceptions import MlflowException

    def unknown(*_: object) -> None:
        raise MlflowException(f"API request to endpoint /api failed with error code {status} != 200. Response body: ''")

    monkeypatch.setattr("workflows.records.logged_models.model_of", unknown)
    one = tracker(store, tmp_path)
    parent, trained, evaluated = invocation(one)
    for run in (trained, evaluated, parent):
        run.end("FINISHED")
    one.close()
    assert not (tmp_path / "unsent.jsonl").exists()
    client = client_of(store)
    assert {client.get_run(run.mlflow_id).info.status for run in (parent, trained, evaluated)} == {"FINISHED"}
    assert " ".join(capsys.readouterr().out.split()).count("the tracking server is older than MLflow 3") == 1
