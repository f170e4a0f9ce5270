"""Where an experiment's results and records are, as a run reports it at its end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape

from workflows.planning.plan import Plan
from workflows.records.mlflow_store import TrackingStore, local_artifacts, local_store
from workflows.records.ui_address import PORTS, UiAddress, address_at
from workflows.records.ui_pages import comparison_url, experiment_url, start_url
from workflows.spec.experiment import Experiment


def tracking_place(experiment: Experiment) -> TrackingStore:
    """Return where the experiment's runs are recorded."""
    storage = Path(experiment.section.storage).expanduser().absolute()
    uri = experiment.section.tracking.uri
    if uri is not None and experiment.section.tracking.is_server:
        return TrackingStore(uri, experiment.name, None)
    # A database holds no files, and by default MLflow would put them into the working directory.
    return TrackingStore(uri or local_store(storage), experiment.name, f"{local_artifacts(storage)}/{experiment.name}")


def ui_address(experiment: Experiment) -> UiAddress:
    """Return the address of the server whose pages show the experiment's runs: `cosa ui`, where there is no other."""
    place = tracking_place(experiment)
    if place.uri.startswith("http"):
        return UiAddress(place.without_password.rstrip("/"), is_open=True)
    if experiment.section.tracking.uri is not None:
        return UiAddress(address_at(PORTS[0]), is_open=False)
    return UiAddress.of(Path(experiment.section.storage).expanduser())


def address_lines(plan: Plan, experiment_id: str | None, comparison: str | None) -> Iterator[str]:
    """Yield lines, in rich's markup, with the folders of results and the pages of MLflow.

    Args:
        plan: of the run.
        experiment_id: MLflow's, if it has the experiment.
        comparison: the key of the view that compares runs; None if there is none.
    """
    ui = ui_address(plan.experiment)
    base = ui.base
    results = [plan.result_of(step.name).parents[1] for step in plan.steps if step.fingerprint is not None]
    folders = list(dict.fromkeys(folder for folder in results if folder.is_dir())) or [plan.storage.folder]
    yield f"\nResults:   {escape(', '.join(map(str, folders)))}"
    yield f"MLflow:    {start_url(base) if experiment_id is None else experiment_url(base, experiment_id)}"
    if experiment_id is not None and comparison is not None:
        yield f"Compare:   {comparison_url(base, experiment_id, comparison)}"
    if not ui.is_open:
        yield f"           (first: {ui_command(plan.experiment)})"


def ui_command(experiment: Experiment) -> str:
    """Say how to open the MLflow UI on the experiment's records."""
    if experiment.section.tracking.uri is not None:
        return "start mlflow server on the database, see docs/team.md"
    storage = experiment.section.storage
    return "cosa ui" if storage == "storage" else f"cosa ui --storage {shlex.quote(storage)}"
