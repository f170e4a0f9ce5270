"""`cosa ui` shows records, and refuses what a process without a login should not do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from cosa.errors import UserError
from tests.ports import free_port
from tests.workflows.records.test_mlflow_store import recorded
from workflows.commands.mlflow_ui import _port, serve_ui
from workflows.records import ui_address
from workflows.records.ui_address import UI_FILE, UiAddress

ROOT = Path(__file__).parents[3]
PRINTED = "printed.txt"  # what the command prints, in its working directory


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Address of a UI, id of a run that it shows, and the working directory."""
    folder = tmp_path_factory.mktemp("ui")
    storage = folder / "what? C#"
    _, run_id = recorded(storage)
    port = free_port()
    command = [sys.executable, str(ROOT / "cli.py"), "ui", "--storage", str(storage), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / PRINTED).open("w") as printed:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                requests.get(f"{address}/health", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield address, run_id, folder
    finally:
        process.send_signal(2)
        process.wait(60)
        assert not (storage / UI_FILE).exists()


@pytest.mark.slow
@pytest.mark.xdist_group("mlflow-ui")
def test_only_addresses_are_printed(served: tuple[str, str, Path]) -> None:
    address, _, folder = served
    assert requests.get(f"{address}/", timeout=30).status_code == 200
    lines = (folder / PRINTED).read_text().splitlines()
    assert lines == [
        f"MLflow UI: {address}/#/experiments?workflowType=machine_learning   (Ctrl-C ends it)",
        f"  demo: {address}/#/experiments/1/runs?viewStateShareKey=cosa-results&workflowType=machine_learning",
    ]


@pytest.mark.slow
@pytest.mark.xdist_group("mlflow-ui")
def test_it_is_opened_once_unless_another_port_is_wanted(
    served: tuple[str, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    address, _, folder = served
    storage = folder / "what? C#"
    assert UiAddress.of(storage) == UiAddress(address, is_open=True)
    serve_ui(storage, None)
    assert f"{address}/#/experiments?workflowType=machine_learning   (is open already)" in capsys.readouterr().out
    port = int(address.rpartition(":")[2])
    with pytest.raises(UserError, match=rf"--port: port {port} is in use on 127.0.0.1; leave it out to take \d+, or stop"):
        serve_ui(storage, port)


def test_a_port_that_is_taken_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    monkeypatch.setattr(ui_address, "PORTS", range(first, first + 20))
    assert _port(None) == first
    with socket.create_server(("127.0.0.1", first)):
        assert first < _port(None) < first + 20
        monkeypatch.setattr(ui_address, "PORTS", range(first, first + 1))
        with pytest.raises(UserError, match=r"are in use on 127\.0\.0\.1; choose another with --port"):
            _port(None)


def post(address: str, name: str, content: dict[str, Any], version: str = "api/2.0") -> requests.Response:
    return requests.post(
        f"{address}/{version}/mlflow/{name}", data=json.dumps(content), timeout=30, headers={"Content-Type": "application/json"}
    )


@pytest.mark.slow
@pytest.mark.xdist_group("mlflow-ui")
def test_records_are_shown(served: tuple[str, str, Path]) -> None:
    address, run_id, _ = served
    assert requests.get(f"{address}/", timeout=30).status_code == 200
    [experiment] = [
        e for e in post(address, "experiments/search", {"max_results": 10}).json()["experiments"] if e["name"] == "demo"
    ]
    found = post(address, "runs/search", {"experiment_ids": [experiment["experiment_id"]]}, "ajax-api/2.0").json()["runs"]
    assert [run["info"]["run_id"] for run in found] == [run_id]
    artifact = requests.get(f"{address}/get-artifact", params={"run_uuid": run_id, "path": "notes/note.txt"}, timeout=30)
    assert artifact.text == "kept"
    assert post(address, "runs/set-tag", {"run_id": run_id, "key": "mlflow.note.content", "value": "mine"}).status_code == 200


@pytest.mark.slow
@pytest.mark.xdist_group("mlflow-ui")
def test_nothing_is_taken_or_made(served: tuple[str, str, Path]) -> None:
    address, run_id, folder = served
    before = {path for path in folder.rglob("*") if "mlflow.db" not in path.name}
    elsewhere = {"name": "elsewhere", "artifact_location": str(folder / "elsewhere")}
    refused = [
        post(address, "experiments/create", elsewhere),
        post(address, "experiments/create", elsewhere, "ajax-api/2.0"),
        post(address, "runs/create", {"experiment_id": "1"}),
        post(address, "model-versions/create", {"name": "m", "source": "/etc"}),
        requests.post(
            f"{address}/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": run_id, "path": "x"}, data=b"x", timeout=30
        ),
        requests.put(f"{address}/api/2.0/mlflow-artifacts/artifacts/x", data=b"x", timeout=30),
        requests.post(f"{address}/ajax-api/3.0/mlflow/assistant/chat", data=b"{}", timeout=30),
        requests.post(f"{address}/ajax-api/3.0/jobs", data=b"{}", timeout=30),
        requests.post(f"{address}/v1/traces", data=b"{}", timeout=30),
    ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    assert {path for path in folder.rglob("*") if "mlflow.db" not in path.name} == before


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/anything", True),
        ("POST", "/api/2.0/mlflow/runs/search", True),
        ("POST", "/ajax-api/3.0/mlflow/logged-models/search", True),
        ("POST", "/graphql", True),
        ("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", True),
        ("POST", "/api/2.0/mlflow/runs/log-artifact", False),
        ("POST", "/api/2.0/mlflow/experiments/create", False),
        ("POST", "/api/2.0/mlflow/experiments/../search", False),
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/x", False),
        ("PUT", "/api/2.0/mlflow/search", True),
        ("POST", "/api/2.0/mlflow/upload-artifact", False),
    ],
)
def test_what_is_allowed(method: str, path: str, allowed: bool) -> None:
    from workflows.commands.guarded_mlflow import is_allowed

    assert is_allowed(method, path) is allowed
