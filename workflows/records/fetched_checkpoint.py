"""Fetches the checkpoint of a run, or of a registered model, from MLflow: `mlflow:RUN`, `mlflow:NAME@champion`."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from cosa.checkpoints.locate import locate
from cosa.errors import UserError
from workflows.records.mlflow_store import DATABASE, first_line, local_store
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
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    address = f"runs:/{name}/{CHECKPOINT_FOLDER}" if _RUN.fullmatch(name) else f"models:/{_version(name)}"
    try:
        found = Path(download_artifacts(artifact_uri=address, tracking_uri=store))
    except (MlflowException, OSError) as error:
        raise UserError(f"mlflow:{name} cannot be fetched from {mask_passwords(store)}: {first_line(error)}") from error
    if locate(found) is None:
        raise UserError(
            f"mlflow:{name} has no checkpoint among its artifacts in {mask_passwords(store)}; give the run of a stage that "
            "trained, whose spec lets MLflow have checkpoints (tracking.checkpoints)"
        )
    return found


def _version(name: str) -> str:
    return name if "@" in name or "/" in name else f"{name}@champion"
