"""Serves the MLflow UI on a storage folder, on 127.0.0.1 only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.markup import escape

from cosa.errors import UserError
from workflows.cluster.ray_cluster import require_free_port
from workflows.records.local_database import recorded_experiments
from workflows.records.mlflow_store import DATABASE, local_artifacts, local_store
from workflows.records.ui_pages import experiment_url, start_url
from workflows.terminal.console import PlainConsole

OF_MLFLOW = (
    "starlette.middleware.wsgi is deprecated"  # how a warning begins about an import of MLflow, which nobody here can mend
)

EXPERIMENTS_SHOWN = 5  # Of more, the list of experiments has the others.


def serve_ui(storage: Path, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        UserError: nothing is recorded there, or the port is taken.
    """
    if not (storage / DATABASE).is_file():
        raise UserError(f"no MLflow records in {storage.absolute()} (no mlflow.db); run an experiment first, or set --storage")
    require_free_port(port, "--port")
    base, console = f"http://127.0.0.1:{port}", PlainConsole()
    console.print(f"MLflow UI: {start_url(base)}   (Ctrl-C ends it)", soft_wrap=True)
    recorded = list(recorded_experiments(storage / DATABASE).items())
    for name, experiment_id in recorded[:EXPERIMENTS_SHOWN]:
        console.print(f"  {escape(name)}: {experiment_url(base, experiment_id)}", soft_wrap=True)
    with subprocess.Popen(_command(port), env={**os.environ, **_settings(storage)}) as server:  # noqa: S603 - no shell
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            return
    if code:
        raise UserError(f"mlflow server ended with code {code}")


def _command(port: int) -> list[str]:
    """Return the command that `mlflow server` would use, but for the application, which is MLflow's behind a guard."""
    root = str(Path(__file__).resolve().parents[2])
    where = ["--app-dir", root, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = ["--log-level", "warning"]  # A line for each request hides errors.
    return [
        sys.executable,
        "-W",
        f"ignore:{OF_MLFLOW}",
        "-m",
        "uvicorn",
        *where,
        *quiet,
        "workflows.commands.guarded_mlflow:app",
    ]


def _settings(storage: Path) -> dict[str, str]:
    """Return the variables in which `mlflow server` hands its options to the application; artifacts are not proxied."""
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR

    return {
        BACKEND_STORE_URI_ENV_VAR: local_store(storage),
        ARTIFACT_ROOT_ENV_VAR: local_artifacts(storage),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # Jobs would need eight more processes, which nobody uses here.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
