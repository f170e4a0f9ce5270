"""Fetches the checkpoint of a run, or of a registered model, from MLflow: `mlflow:RUN`, `mlflow:NAME@champion`."""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

from cosa.checkpoints.locate import locate
from cosa.errors import UserError
from workflows.records.artifact_links import local_folder
from workflows.records.mlflow_store import DATABASE, first_line, local_store
from workflows.records.model_registry import CHAMPION
from workflows.results.layout import CHECKPOINT_FOLDER
from workflows.spec.secrets import mask_passwords

_RUN = re.compile(r"[0-9a-f]{32}")
STORAGE = Path("storage")


def fetch(name: str) -> Path:
    """Return the folder of a checkpoint: where it is, if that is on this machine, or a copy.

    name: the id of a run; or a registered model, NAME, NAME@ALIAS or NAME/VERSION, whose champion is meant without either. They
    are looked up at MLFLOW_TRACKING_URI, or else in ./storage.

    Raises:
        UserError: there is no MLflow store, no such run or model, or it has no checkpoint.
    """
    store = os.environ.get("MLFLOW_TRACKING_URI")
    if store is None:
        if not (STORAGE / DATABASE).is_file():
            raise UserError(
                f"mlflow:{name}: no MLflow store in {STORAGE.absolute()}; run this where the results are, or set "
                "MLFLOW_TRACKING_URI to the server"
            )
        store = local_store(STORAGE)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    client = MlflowClient(tracking_uri=store)
    try:
        run_id, folder = (name, CHECKPOINT_FOLDER) if _RUN.fullmatch(name) else _registered(client, name)
        place = local_folder(client.get_run(run_id).info.artifact_uri)
        found = place / folder if place is not None else _copy(client, run_id, folder)
    except (MlflowException, OSError) as error:
        raise UserError(f"mlflow:{name} cannot be fetched from {mask_passwords(store)}: {first_line(error)}") from error
    if locate(found) is None:
        raise UserError(
            f"mlflow:{name} has no checkpoint among its artifacts in {mask_passwords(store)}; give the run of a stage that "
            "trained, whose spec lets MLflow have checkpoints (tracking.checkpoints)"
        )
    return found


def _registered(client: Any, name: str) -> tuple[str, str]:
    """Return the run and the folder of its artifacts that a version of a registered model was made from."""
    if "/" in name:
        version = client.get_model_version(*name.rsplit("/", 1))
    else:
        model, _, alias = name.partition("@")
        version = client.get_model_version_by_alias(model, alias or CHAMPION)
    return version.run_id, CHECKPOINT_FOLDER


def _copy(client: Any, run_id: str, folder: str) -> Path:
    """Download a folder of artifacts, unless it was downloaded before: a run's checkpoint never changes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "cosa-experiments" / run_id
    if not (cache / folder).is_dir() and client.list_artifacts(run_id, folder):
        working = cache.with_name(f"{run_id}.{os.getpid()}")
        working.mkdir(parents=True)
        try:
            client.download_artifacts(run_id, folder, str(working))
            working.rename(cache)
        finally:
            shutil.rmtree(working, ignore_errors=True)
    return cache / folder
