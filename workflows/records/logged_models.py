"""Models and data of runs in MLflow: what a stage made, what it used, and the figures of each model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

MODEL_TYPE = "COSA checkpoint"
LONGEST_DIGEST = 36  # MLflow takes so many characters.
POINTS_PER_CALL = 100  # MLflow fails to see that a point of a model is there already if a call has more.


def model_of(client: Any, experiment_id: str, run_id: str) -> Any:
    """Return the model that a run made; None if it made none, as runs of older versions."""
    found = client.search_logged_models([experiment_id], filter_string=f"source_run_id = '{run_id}'", max_results=1)
    return found[0] if found else None


def log_model(
    client: Any, experiment_id: str, run_id: str, name: str, params: Mapping[str, str], tags: Mapping[str, str]
) -> str:
    """Record the model that a run made, or what is missing of it, and return its id.

    Args:
        client: MLflow's.
        experiment_id: of the run.
        run_id: the run.
        name: of the model.
        params: of its training.
        tags: where its weights are, among others.
    """
    from mlflow.entities import LoggedModelStatus

    model = model_of(client, experiment_id, run_id)
    if model is None:
        model = client.create_logged_model(experiment_id, name, run_id, dict(tags), dict(params), MODEL_TYPE)
    missing = {name: value for name, value in params.items() if name not in model.params}
    if missing:  # The connection broke between two calls of an earlier attempt.
        client.log_model_params(model.model_id, missing)
    if model.status != LoggedModelStatus.READY:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return str(model.model_id)


def show_model(client: Any, experiment_id: str, made_by: str, shown_by: str) -> None:
    """Show the model that a run made as an output of a run. experiment_id: of the run that made it."""
    from mlflow.entities import LoggedModelOutput

    model = model_of(client, experiment_id, made_by)
    if model is None:
        return
    if all(output.model_id != model.model_id for output in client.get_run(shown_by).outputs.model_outputs):
        client.log_outputs(shown_by, [LoggedModelOutput(model.model_id, step=0)])


def log_model_metrics(
    client: Any,
    experiment_id: str,
    made_by: str,
    run_id: str,
    points: Sequence[Sequence[Any]],
    dataset: Mapping[str, str] | None,
) -> None:
    """Record metrics of a model, if its run has recorded one.

    Args:
        client: MLflow's.
        experiment_id: of the run that made the model.
        made_by: that run.
        run_id: the run that measured.
        points: name, value, milliseconds and step of each metric.
        dataset: name and digest of what was measured on.
    """
    from mlflow.entities import Metric

    model = model_of(client, experiment_id, made_by)
    if model is None:
        return
    on = (dataset["name"], dataset["digest"][:LONGEST_DIGEST]) if dataset is not None else (None, None)
    metrics = [Metric(*point, model.model_id, *on, run_id) for point in points]
    for start in range(0, len(metrics), POINTS_PER_CALL):
        client.log_batch(run_id, metrics=metrics[start : start + POINTS_PER_CALL])


def log_datasets(client: Any, run_id: str, datasets: Sequence[Mapping[str, str]]) -> None:
    """Record what a run read.

    Args:
        client: MLflow's.
        run_id: the run.
        datasets: each with a name, a digest, a context (training, validation, ...) and a source (path of a file).
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client.log_inputs(
        run_id,
        [
            DatasetInput(
                Dataset(data["name"], data["digest"][:LONGEST_DIGEST], "local", json.dumps({"uri": data["source"]})),
                [InputTag("mlflow.data.context", data["context"])],
            )
            for data in datasets
        ],
    )
