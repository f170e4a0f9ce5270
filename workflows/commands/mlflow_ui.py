"""Serves the MLflow UI on a storage folder, on 127.0.0.1 only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.markup import escape

from cosa.errors import UserError
from workflows.records.local_database import recorded_experiments
from workflows.records.local_port import is_free
from workflows.records.mlflow_store import DATABASE, local_artifacts, local_store
from workflows.records.process_mark import ProcessMark
from workflows.records.ui_address import PORTS, address_at, forget, next_port, remember, running_at
from workflows.records.ui_pages import experiment_url, start_url
from workflows.terminal.console import PlainConsole

OF_MLFLOW = (
    "starlette.middleware.wsgi is deprecated"  # how a warning begins about an import of MLflow, which nobody here can mend
)

EXPERIMENTS_SHOWN = 5  # Of more, the list of experiments has the others.


def serve_ui(storage: Path, port: int | None) -> None:
    """Serve until Ctrl-C, unless it is served already and no port is wanted. port: None takes the usual one, or the next free.

    Raises:
        UserError: nothing is recorded there, or the port is taken.
    """
    if not (storage / DATABASE).is_file():
        raise UserError(f"no MLflow records in {storage.absolute()} (no mlflow.db); run an experiment first, or set --storage")
    running = running_at(storage)
    if running is not None and port is None:
        _show(storage, running, "is open already")
        return
    chosen = _port(port)
    base = address_at(chosen)
    other = f"; port {PORTS[0]} is taken" if port is None and chosen != PORTS[0] else ""
    _show(storage, base, f"Ctrl-C ends it{other}")
    with subprocess.Popen(_command(chosen), env={**os.environ, **_settings(storage)}) as server:  # noqa: S603 - no shell
        remember(storage, base, ProcessMark.of(server.pid))
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            return
        finally:
            forget(storage, base)
    if code:
        raise UserError(f"mlflow server ended with code {code}")


def _port(wanted: int | None) -> int:
    """Return the port to serve at.

    Raises:
        UserError: it is taken.
    """
    free = next_port()
    if wanted is None:
        if free is None:
            raise UserError(f"ports {PORTS[0]} to {PORTS[-1]} are in use on 127.0.0.1; choose another with --port")
        return free
    if not is_free(wanted):
        raise UserError(
            f"--port: port {wanted} is in use on 127.0.0.1; leave it out to take {free}, or stop what listens there"
        )
    return wanted


def _show(storage: Path, base: str, state: str) -> None:
    """Print addresses: where the UI starts, and those of the newest experiments."""
    console = PlainConsole()
    console.print(f"MLflow UI: {start_url(base)}   ({state})", soft_wrap=True)
    recorded = list(recorded_experiments(storage / DATABASE).items())
    for name, experiment_id in recorded[:EXPERIMENTS_SHOWN]:
        console.print(f"  {escape(name)}: {experiment_url(base, experiment_id)}", soft_wrap=True)


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
