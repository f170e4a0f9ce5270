"""Models and data of runs in MLflow: what a stage made, what it used, and the figures of each model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

MODEL_TYPE = "COSA checkpoint"
LONGEST_DIGEST = 36  # characters that MLflow takes


def model_of(client: Any, experiment_ids: Sequence[str], run_id: str) -> Any:
    """Return the model that a run made; None if it made none."""
    found = client.search_logged_models(list(experiment_ids), filter_string=f"source_run_id = '{run_id}'", max_results=1)
    return found[0] if found else None


def log_model(
    client: Any,
    experiment_id: str,
    run_id: str,
    name: str,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    shown_by: Sequence[str],
) -> None:
    """Record the model that a run made, unless it is recorded already. The weights are the run's, not this entry's.

    Args:
        client: MLflow's.
        experiment_id: of the run.
        run_id: the run.
        name: of the model.
        params: of its training.
        tags: where its weights are, among others.
        shown_by: runs that show it: the run and its parent.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    model = model_of(client, [experiment_id], run_id)
    if model is None:
        model = client.create_logged_model(experiment_id, name, run_id, dict(tags), dict(params), MODEL_TYPE)
    if model.status != LoggedModelStatus.READY:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    for shown in shown_by:
        if all(output.model_id != model.model_id for output in client.get_run(shown).outputs.model_outputs):
            client.log_outputs(shown, [LoggedModelOutput(model.model_id, step=0)])


def log_figures(
    client: Any,
    experiment_id: str,
    made_by: str,
    run_id: str,
    points: Sequence[Sequence[Any]],
    dataset: Mapping[str, str] | None,
) -> None:
    """Record metrics of a model, if its run has recorded one: a run of an older version has not.

    Args:
        client: MLflow's.
        experiment_id: of the run that made the model.
        made_by: that run.
        run_id: the run that measured.
        points: name, value, milliseconds and step of each metric.
        dataset: name and digest of what was measured on.
    """
    from mlflow.entities import Metric

    model = model_of(client, [experiment_id], made_by)
    if model is None:
        return
    on = (dataset["name"], dataset["digest"][:LONGEST_DIGEST]) if dataset is not None else (None, None)
    client.log_batch(run_id, metrics=[Metric(*point, model.model_id, *on, run_id) for point in points])


def log_datasets(client: Any, run_id: str, datasets: Sequence[Mapping[str, str]]) -> None:
    """Record what a run read.

    Args:
        client: MLflow's.
        run_id: the run.
        datasets: each with a name, a digest, a context (training, validation, ...) and a source (path of a file or folder).
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
