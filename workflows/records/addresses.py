"""Where an experiment's results and records are, as a run reports it at its end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape

from workflows.planning.plan import Plan
from workflows.records.mlflow_store import TrackingStore, local_artifacts, local_store
from workflows.records.ui_pages import Comparison, comparison_url, experiment_url, start_url
from workflows.spec.experiment import Experiment

UI_ADDRESS = "http://127.0.0.1:5000"


def tracking_place(experiment: Experiment) -> TrackingStore:
    """Return where the experiment's runs are recorded."""
    storage = Path(experiment.section.storage).expanduser().absolute()
    uri = experiment.section.tracking.uri
    if uri is not None and experiment.section.tracking.is_server:
        return TrackingStore(uri, experiment.name, None)
    # A database holds no files, and by default MLflow would put them into the working directory.
    return TrackingStore(uri or local_store(storage), experiment.name, f"{local_artifacts(storage)}/{experiment.name}")


def base_address(experiment: Experiment) -> str:
    """Return the address of the server whose pages show the experiment's runs: `cosa ui`, where there is no other."""
    place = tracking_place(experiment)
    return place.without_password.rstrip("/") if place.uri.startswith("http") else UI_ADDRESS


def address_lines(plan: Plan, comparison: Comparison | None, experiment_id: str | None) -> Iterator[str]:
    """Yield lines, in rich's markup, with the folders of results and the pages of MLflow.

    Args:
        plan: of the run.
        comparison: that a page shows; None if none does.
        experiment_id: MLflow's, if it has the experiment.
    """
    base = base_address(plan.experiment)
    results = [plan.result_of(step.name).parents[1] for step in plan.steps if step.fingerprint is not None]
    folders = list(dict.fromkeys(folder for folder in results if folder.is_dir())) or [plan.storage.folder]
    yield f"\nResults:   {escape(', '.join(map(str, folders)))}"
    yield f"MLflow:    {start_url(base) if experiment_id is None else experiment_url(base, experiment_id)}"
    if experiment_id is not None and comparison is not None:
        yield f"Compare:   {comparison_url(base, experiment_id, comparison.key)}"
    if not tracking_place(plan.experiment).uri.startswith("http"):
        yield f"           (first: {ui_command(plan.experiment)})"


def ui_command(experiment: Experiment) -> str:
    """Say how to open the MLflow UI on the experiment's records."""
    if experiment.section.tracking.uri is not None:
        return "start mlflow server on the database, see docs/team.md"
    storage = experiment.section.storage
    return "cosa ui" if storage == "storage" else f"cosa ui --storage {shlex.quote(storage)}"
