"""The local store works in a folder of any name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflows.records.mlflow_store import Sender, TrackingStore, local_artifacts, local_store

FOLDERS = [
    "plain",
    "C# 50%",
    "what?",
    "run%2F7",
    "a%20b",
    "é 日本",
    'it\'s "quoted"',
    "a;b&c=d",
    "u:p@host",
    "a+b",
    "[x]",
    "~x",
]


def recorded(storage: Path) -> Any:
    """Make a run with a parameter and an artifact, and return MLflow's client and the run's id."""
    storage.mkdir()
    (storage / "note.txt").write_text("kept")
    sender = Sender(TrackingStore(local_store(storage), "demo", f"{local_artifacts(storage)}/demo"), {})
    create = {"do": "create", "run": "a", "name": "a", "parent": None, "note": None, "tags": {}, "time": 1}
    sender.send(create)
    sender.send({"do": "params", "run": "a", "values": {"options.a#b?c": "1", "x" * 300: "2", "../..": "3", "plain": "4"}})
    sender.send({"do": "artifact", "run": "a", "path": str(storage / "note.txt"), "folder": "notes"})
    return sender._client, sender.mlflow_ids["a"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_folder_of_any_name_keeps_its_records(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client, run_id = recorded(tmp_path / name)
    assert (tmp_path / name / "mlflow.db").stat().st_size > 0
    [kept] = (tmp_path / name / "mlflow-artifacts" / "demo").rglob("note.txt")
    assert kept.read_text() == "kept"
    assert [file.path for file in client.list_artifacts(run_id, "notes")] == ["notes/note.txt"]
    assert [path.name for path in tmp_path.iterdir()] == [name]  # Nothing strays beside it.
    params = client.get_run(run_id).data.params
    assert params == {"options.a_b_c": "1", "x" * 250: "2", "_": "3", "plain": "4"}


@pytest.mark.parametrize("name", FOLDERS)
def test_file_of_the_store(name: str, tmp_path: Path) -> None:
    assert TrackingStore(local_store(tmp_path / name), "demo", None).sqlite_file == tmp_path / name / "mlflow.db"
    assert TrackingStore(local_store(tmp_path / name), "demo", None).without_password == local_store(tmp_path / name)


def test_stores_that_are_no_file() -> None:
    assert TrackingStore("http://host:5000", "demo", None).sqlite_file is None
    assert TrackingStore("postgresql://host/sqlite", "demo", None).sqlite_file is None


def test_the_experiment_is_found_without_mlflow(tmp_path: Path) -> None:
    store = TrackingStore(local_store(tmp_path), "demo", None)
    assert store.recorded_experiment() is None
    sender = Sender(store, {})
    sender.send({"do": "create", "run": "a", "name": "a", "parent": None, "note": None, "tags": {}, "time": 1})
    assert store.recorded_experiment() == sender.experiment_id
    assert TrackingStore(local_store(tmp_path), "other", None).recorded_experiment() is None
    assert TrackingStore("http://127.0.0.1:1", "demo", None).recorded_experiment() is None
    (tmp_path / "mlflow.db").write_bytes(b"damaged")
    assert store.recorded_experiment() is None
