"""Records reach MLflow once and in order, or wait in a file."""

import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.ports import free_port
from workflows.records.mlflow_store import Sender, ServerAwayError, TrackingStore, local_store
from workflows.records.provenance import command_line
from workflows.records.tracking import Tracker, flat, sync_files
from workflows.terminal.reporter import Reporter

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> TrackingStore:
    return TrackingStore(local_store(tmp_path), "demo", str(tmp_path / "artifacts"))


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def tracker(store: TrackingStore, folder: Path) -> Tracker:
    return Tracker(store, folder / "unsent.jsonl", Reporter())


def client_of(store: TrackingStore):
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=store.uri)


def test_flat_names() -> None:
    assert flat({"a": {"b": 1}, "c": [1, 2], "d": None, "e": [{"f": 2}]}) == {"a.b": "1", "c": "1, 2", "e.0.f": "2"}


@pytest.mark.parametrize(
    ("uri", "in_files"),
    [
        ("http://me:secret@host", "http://host"),
        ("postgresql://me:secret@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:p/w0rd@host/db", "postgresql://me@host/db"),
        ("http://me:p@ss@host:5000", "http://host:5000"),
        ("postgresql://host/db?password=secret&user=me", "postgresql://host/db?user=me"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me"),
        ("sqlite:////a/b@c.db", "sqlite:////a/b@c.db"),
    ],
)
def test_files_hold_no_password(uri: str, in_files: str) -> None:
    assert TrackingStore(uri, "demo", None).without_password == in_files


def test_the_recorded_command_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/x/cli.py", "plan", "a.yaml", "--set", "tracking.uri=http://me:secret@host"])
    assert command_line() == "python cli.py plan a.yaml --set 'tracking.uri=http://***@host'"


def test_an_interrupted_run_resumes_in_the_same_run(tmp_path: Path, store: TrackingStore) -> None:
    note = tmp_path / "run.json"
    ids = []
    for rate in (1, 2):
        one = tracker(store, tmp_path)
        run = one.new_run("stage", note=note)
        run.params({"learning_rate": rate, f"extra{rate}": rate})
        run.metrics({"loss": float(rate)}, step=rate)
        run.end("KILLED" if rate == 1 else "FINISHED")
        one.close()
        ids.append(run.mlflow_id)
    assert ids[0] == ids[1] == json.loads(note.read_text())["mlflow_run_id"]
    found = client_of(store).get_run(ids[0])
    assert found.info.status == "FINISHED"
    assert found.data.params == {"learning_rate": "1", "extra1": "1", "extra2": "2"}
    assert [point.value for point in client_of(store).get_metric_history(ids[0], "loss")] == [1.0, 2.0]
    assert not (tmp_path / "unsent.jsonl").exists()


def test_a_run_that_was_deleted_meanwhile_is_made_anew(tmp_path: Path, store: TrackingStore) -> None:
    note = tmp_path / "run.json"
    first = tracker(store, tmp_path)
    old = first.new_run("stage", note=note)
    first.close()
    client_of(store).delete_run(old.mlflow_id)
    second = tracker(store, tmp_path)
    new = second.new_run("stage", note=note)
    new.end("FINISHED")
    second.close()
    assert new.mlflow_id not in (None, old.mlflow_id)
    assert client_of(store).get_run(new.mlflow_id).info.status == "FINISHED"


@pytest.mark.slow
def test_two_runs_at_once_make_one_intact_store(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from workflows.terminal.reporter import Reporter
from workflows.records.mlflow_store import TrackingStore, local_store
from workflows.records.provenance import command_line
from workflows.records.tracking import Tracker
folder = Path({str(tmp_path)!r})
one = Tracker(TrackingStore(local_store(folder), "demo", None), folder / "unsent.jsonl", Reporter())
one.new_run("run").end("FINISHED")
one.close(60)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    client = client_of(TrackingStore(local_store(tmp_path), "demo", None))
    runs = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    assert not (tmp_path / "unsent.jsonl").exists()


def test_why_a_server_is_away_is_said_in_few_words() -> None:
    sender = Sender(TrackingStore(f"http://me:secret@127.0.0.1:{free_port()}", "demo", None), {})
    with pytest.raises(ServerAwayError, match=r"^ConnectionRefusedError: \[Errno \d+\] Connection refused$"):
        sender.send({"do": "tags", "run": "a", "values": {}})


@pytest.mark.slow
def test_a_server_that_never_answers_loses_no_record(
    tmp_path: Path, silent: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    store = TrackingStore(f"http://me:secret@127.0.0.1:{silent.getsockname()[1]}", "demo", None)
    one = tracker(store, tmp_path)
    run = one.new_run("stage")
    run.metrics({"loss": 1.0}, step=1)
    run.end("FINISHED")
    started = time.monotonic()
    one.close(3)
    assert time.monotonic() - started < 10
    assert "secret" not in capsys.readouterr().out
    header, *operations = map(json.loads, (tmp_path / "unsent.jsonl").read_text().splitlines())
    assert [operation["do"] for operation in operations] == ["create", "metrics", "end"]
    assert "secret" not in json.dumps(header)


def test_a_store_that_cannot_be_opened_keeps_its_records_for_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = tmp_path / "mlflow.db"
    database.write_text("this is no database, and far too long to be taken for an empty one" * 20)
    store = TrackingStore(local_store(tmp_path), "demo", None)
    one = tracker(store, tmp_path)
    one.new_run("stage").end("FINISHED")
    one.close(20)
    assert capsys.readouterr().out.count("cannot be used") == 1
    database.unlink()
    command = [sys.executable, str(ROOT / "cli.py"), "sync", str(tmp_path / "unsent.jsonl")]
    sent = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "sent 2 records" in sent.stdout, sent.stderr
    with closing(sqlite3.connect(database)) as store:  # MLflow keeps the broken one open in this process
        assert store.execute("select status from runs").fetchall() == [("FINISHED",)]


@pytest.mark.parametrize("content", ["", "{", '{"place": {}}', "[1]"])
def test_a_file_of_no_records_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "unsent.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match="holds no unsent records"):
        sync_files([path])
