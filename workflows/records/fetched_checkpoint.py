"""Fetches the checkpoint of a run, or of a registered model, from MLflow: `mlflow:RUN`, `mlflow:NAME@champion`."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
_MODEL = re.compile(r"(?P<name>[^/@]+)(/(?P<version>[0-9]+)|@(?P<alias>[^/@]+))?")
EXPECTED = "mlflow:RUN (32 hexadecimal digits), mlflow:NAME, mlflow:NAME@ALIAS or mlflow:NAME/VERSION"
STORAGE = Path("storage")
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


@dataclass(frozen=True)
class MlflowPlace:
    """Where checkpoints come from and go to. store: MLflow's address. cache: folder of copies."""

    store: str
    cache: Path

    @classmethod
    def of(cls, storage: Path | None, environment: Mapping[str, str]) -> MlflowPlace:
        """Return the store in a folder of results; that of MLFLOW_TRACKING_URI, or else in ./storage, if none is named.

        Raises:
            UserError: there is none.
        """
        cache = Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cosa-experiments"
        if storage is None and environment.get("MLFLOW_TRACKING_URI"):
            return cls(environment["MLFLOW_TRACKING_URI"], cache)
        folder = storage or STORAGE
        if not (folder / DATABASE).is_file():
            advice = (
                "name the folder of the results with --storage, or set MLFLOW_TRACKING_URI to the server"
                if storage is None
                else "leave out --storage and set MLFLOW_TRACKING_URI, if its runs are on a server"
            )
            raise UserError(f"no MLflow store in {folder.absolute()}; {advice}")
        return cls(local_store(folder), cache)


def fetch(name: str, storage: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder of a checkpoint: where it is, if that is on this machine, or a copy.

    Args:
        name: the id of a run; or a registered model, NAME, NAME@ALIAS or NAME/VERSION, whose champion is meant without either.
        storage: folder of results in whose store they are looked up; without it, at MLFLOW_TRACKING_URI, or else in ./storage.
        environment: variables; by default those of the process.

    Raises:
        UserError: there is no MLflow store, no such run or model, or it has no checkpoint.
    """
    if not _RUN.fullmatch(name) and not _MODEL.fullmatch(name):
        raise UserError(f"mlflow:{name} names no run and no model; expected {EXPECTED}")
    try:
        place = MlflowPlace.of(storage, os.environ if environment is None else environment)
    except UserError as error:
        raise UserError(f"mlflow:{name}: {error}") from None
    with _quiet_mlflow():
        found = _found(name, place)
    if locate(found) is None:
        raise UserError(
            f"mlflow:{name} has no checkpoint among its artifacts in {mask_passwords(place.store)}; give the run of a stage "
            "that trained, whose spec lets MLflow have checkpoints (tracking.checkpoints)"
        )
    return found


def _found(name: str, place: MlflowPlace) -> Path:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=place.store)
    try:
        run_id = name if _RUN.fullmatch(name) else _run_of_model(client, name)
        folder = local_folder(client.get_run(run_id).info.artifact_uri)
        return folder / CHECKPOINT_FOLDER if folder is not None else _copy(client, run_id, place.cache)
    except (MlflowException, OSError) as error:
        raise UserError(f"mlflow:{name} cannot be fetched from {mask_passwords(place.store)}: {first_line(error)}") from error


def _run_of_model(client: Any, name: str) -> str:
    """Return the run that a version of a registered model was made by."""
    parts = _MODEL.fullmatch(name)
    assert parts is not None, name
    if parts["version"]:
        version = client.get_model_version(parts["name"], parts["version"])
    else:
        version = client.get_model_version_by_alias(parts["name"], parts["alias"] or CHAMPION)
    return str(version.run_id)


def _copy(client: Any, run_id: str, cache: Path) -> Path:
    """Download a checkpoint from among artifacts, unless it was downloaded before: a run's checkpoint never changes."""
    copy = cache / run_id
    if not (copy / CHECKPOINT_FOLDER).is_dir() and client.list_artifacts(run_id, CHECKPOINT_FOLDER):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{run_id}.", dir=cache) as folder:
            working = Path(folder) / run_id
            working.mkdir()
            client.download_artifacts(run_id, CHECKPOINT_FOLDER, str(working))
            working.rename(copy)
    return copy / CHECKPOINT_FOLDER


@contextmanager
def _quiet_mlflow() -> Iterator[None]:
    """Let MLflow neither send nor print anything inside. Afterwards variables and loggers are as they were."""
    added = {name: value for name, value in _QUIET.items() if name not in os.environ}
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    os.environ.update(added)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
