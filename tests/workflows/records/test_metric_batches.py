"""Metrics that wait are sent together, in order, and what is refused takes nothing with it."""

import math
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from workflows.records import tracking
from workflows.records.metric_batches import deliver, remove_from, travelling_together
from workflows.records.mlflow_store import METRICS_PER_CALL, Sender, ServerAwayError, TrackingStore, local_store
from workflows.records.tracking import Tracker
from workflows.terminal.reporter import Reporter


def metrics(run: str, step: int, points: int = 1) -> dict[str, Any]:
    return {"do": "metrics", "run": run, "points": [[f"m{i}", 1.0, 0, step] for i in range(points)]}


END = {"do": "end", "run": "a", "status": "FINISHED", "time": 0}


def test_metrics_of_one_run_travel_together_up_to_what_is_no_metric() -> None:
    pending = deque([metrics("a", 1), metrics("b", 1), metrics("a", 2), END, metrics("a", 3)])
    together = travelling_together(pending)
    assert together == [metrics("a", 1), metrics("a", 2)]
    remove_from(pending, together)
    assert list(pending) == [metrics("b", 1), END, metrics("a", 3)]
    assert travelling_together([END, metrics("a", 3)]) == [END]


def test_one_call_holds_no_more_than_mlflow_takes() -> None:
    half = METRICS_PER_CALL // 2
    pending = [metrics("a", 1, half), metrics("a", 2, half), metrics("a", 3, 1)]
    assert travelling_together(pending) == pending[:2]
    assert travelling_together([metrics("a", 1, METRICS_PER_CALL + 1), metrics("a", 2)]) == [
        metrics("a", 1, METRICS_PER_CALL + 1)
    ]


class RefusesNaN:
    """A sender for which one record is one too many."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.calls = 0

    def send(self, operation: dict[str, Any]) -> None:
        self.calls += 1
        if any(math.isnan(value) for _, value, _, _ in operation["points"]):
            raise ValueError("not a number")
        self.sent += [step for _, _, _, step in operation["points"]]


def test_a_refused_record_takes_no_others_with_it() -> None:
    sender: Any = RefusesNaN()
    bad = metrics("a", 2)
    bad["points"][0][1] = math.nan
    reported: list[str] = []
    deliver(sender, [metrics("a", 1), bad, metrics("a", 3)], reported.append)
    assert sender.sent == [1, 3]
    assert reported == ["MLflow refused to record metrics: ValueError: not a number"]


def test_what_is_sent_twice_is_there_once(tmp_path: Path) -> None:
    """A server may go away after it has stored a batch and before it has said so."""
    from mlflow.tracking import MlflowClient

    store = TrackingStore(local_store(tmp_path), "demo", str(tmp_path / "artifacts"))
    sender = Sender(store, {})
    sender.send({"do": "create", "run": "a", "name": "a", "parent": None, "tags": {}, "note": None, "time": 0})
    batch = {**metrics("a", 1), "points": [["loss", 1.0 / step, 1000 + step, step] for step in range(1, 11)]}
    longer = {**batch, "points": [*batch["points"], ["loss", 1.0 / 11, 1011, 11]]}
    for operation in (batch, batch, longer):
        sender.send(operation)
    history = MlflowClient(tracking_uri=store.uri).get_metric_history(sender.mlflow_ids["a"], "loss")
    assert [point.step for point in history] == list(range(1, 12))


def test_records_gather_into_few_calls_and_nothing_waits_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def counted(self: Sender, operation: dict[str, Any]) -> None:
        if operation["do"] == "metrics":
            sent.append(len(operation["points"]))

    monkeypatch.setattr(Sender, "send", counted)
    monkeypatch.setattr(tracking, "GATHER_SECONDS", 600.0)
    one = Tracker(TrackingStore(local_store(tmp_path), "demo", None), tmp_path / "unsent.jsonl", Reporter())
    run = one.new_run("stage")
    assert one.flush(60)
    for step in range(50):
        run.metrics({"loss": 1.0 / (1 + step)}, step=step)
    time.sleep(0.3)
    assert sent == []  # they wait for company
    started = time.monotonic()
    run.end("FINISHED")
    assert one.flush(60)
    assert time.monotonic() - started < 30
    assert sent == [50]
    one.close()


def test_a_server_that_is_back_at_the_end_is_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back, tried = threading.Event(), threading.Event()

    def send(self: Sender, operation: dict[str, Any]) -> None:
        tried.set()
        if not back.is_set():
            raise ServerAwayError("away")
        self.mlflow_ids[operation["run"]] = "known"

    monkeypatch.setattr(Sender, "send", send)
    monkeypatch.setattr(tracking, "RETRY_SECONDS", 600.0)
    one = Tracker(TrackingStore(local_store(tmp_path), "demo", None), tmp_path / "unsent.jsonl", Reporter())
    run = one.new_run("stage")
    assert tried.wait(10)
    assert not one.flush(10)
    back.set()
    one.close(10)
    assert run.mlflow_id == "known"
    assert not (tmp_path / "unsent.jsonl").exists()


def test_an_upload_that_is_running_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(self: Sender, operation: dict[str, Any]) -> None:
        time.sleep(2.0 if operation["do"] == "artifact" else 0.0)
        self.mlflow_ids[operation["run"]] = operation["do"]

    monkeypatch.setattr(Sender, "send", send)
    one = Tracker(TrackingStore(local_store(tmp_path), "demo", None), tmp_path / "unsent.jsonl", Reporter())
    run = one.new_run("stage")
    run.artifact(tmp_path)
    run.end("FINISHED")
    one.close(0.5)
    assert run.mlflow_id == "end"
    assert not (tmp_path / "unsent.jsonl").exists()
