"""Models and data of runs, in an MLflow store."""

from pathlib import Path

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
    evaluated.figures_of(trained, {"final/text_to_video_r1": 57.0}, TEST)
    return parent, trained, evaluated


def test_models_data_and_figures(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    one = tracker(store, tmp_path)
    parent, trained, evaluated = invocation(one)
    one.close()
    client = client_of(store)
    model = model_of(client, [str(one.experiment_id)], str(trained.mlflow_id))
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
    put, twice = one.put, ("datasets", "model", "figures")
    one.put = lambda operation: [put(operation) for _ in range(2 if operation["do"] in twice else 1)]  # type: ignore
    parent, trained, _ = invocation(one)
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
    evaluated.figures_of(trained, {"final/cider": 1.0}, None)
    evaluated.figures_of(one.known_run("gone"), {"final/cider": 1.0}, None)
    one.close()
    assert one._reported == set()
    assert client_of(store).get_run(evaluated.mlflow_id).data.metrics == {}
