"""Serves the MLflow UI on a storage folder, on 127.0.0.1 only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cosa.errors import UserError
from workflows.cluster.ray_cluster import require_free_port
from workflows.records.mlflow_store import DATABASE, local_artifacts, local_store
from workflows.terminal.console import PlainConsole


def serve_ui(storage: Path, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        UserError: nothing is recorded there, or the port is taken.
    """
    if not (storage / DATABASE).is_file():
        raise UserError(f"no MLflow records in {storage.absolute()} (no mlflow.db); run an experiment first, or set --storage")
    require_free_port(port, "--port")
    PlainConsole().print(f"MLflow UI: http://127.0.0.1:{port}   (Ctrl-C ends it)")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--no-serve-artifacts",
    ]
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": local_store(storage),
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": local_artifacts(storage),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # Jobs would need eight more processes, which nobody uses here.
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with subprocess.Popen(command, env=environment) as server:  # noqa: S603 - fixed command, no shell
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            return
    if code:
        raise UserError(f"mlflow server ended with code {code}")
