"""All MLflow calls. They are made by one background thread of the driver, in order, so that nothing ever waits for MLflow.

If the server is away, records wait; what is still unsent at the end is left in a file that `cosa sync` sends later.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cosa.errors import UserError
from workflows.artifacts import write_atomically
from workflows.console import Reporter

Operation = dict[str, Any]  # {"do": name, "run": local id, ...}: JSON, so that it can wait in a file
RETRY_SECONDS = 10.0
METRICS_PER_CALL = 1000  # MLflow's limit
PARAMS_PER_CALL = 100


def local_store(storage: Path) -> str:
    """URI of the sqlite store in a storage folder. Absolute: relative ones depend on the working directory."""
    return f"sqlite:///{storage.absolute()}/mlflow.db"


class RunRecorder:
    """One MLflow run. Its methods return at once."""

    def __init__(self, tracker: Tracker, local_id: str):
        self.tracker, self.local_id = tracker, local_id

    @property
    def mlflow_id(self) -> str | None:
        """MLflow's own id, once the server has given it."""
        return self.tracker.mlflow_ids.get(self.local_id)

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters; nested mappings become dotted names."""
        self.tracker.put({"do": "params", "run": self.local_id, "values": flat(values)})

    def tags(self, values: Mapping[str, str]) -> None:
        """Tags."""
        self.tracker.put({"do": "tags", "run": self.local_id, "values": {k: str(v) for k, v in values.items()}})

    def metrics(self, values: Mapping[str, float], step: int = 0, seconds: float | None = None) -> None:
        """Metrics at a step; `seconds` is the time they were measured at."""
        stamp = round((time.time() if seconds is None else seconds) * 1000)
        points = [[name, float(value), stamp, step] for name, value in values.items()]
        self.tracker.put({"do": "metrics", "run": self.local_id, "points": points})

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file or folder."""
        self.tracker.put({"do": "artifact", "run": self.local_id, "path": str(path.absolute()), "folder": folder})

    def end(self, status: str) -> None:
        """End the run: FINISHED, FAILED or KILLED."""
        self.tracker.put({"do": "end", "run": self.local_id, "status": status, "time": round(time.time() * 1000)})


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """{'a': {'b': 1}} to {'a.b': '1'}; lists of plain values stay one value."""
    result: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            result |= flat(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                result |= flat({str(index): item}, f"{name}.")
        elif isinstance(value, list | tuple):
            result[name] = ", ".join(map(str, value))
        elif value is not None:
            result[name] = str(value)
    return result


@dataclass(frozen=True)
class Place:
    """Where records go."""

    uri: str
    experiment: str
    artifact_location: str | None  # only for a local store: a server has its own


class Tracker:
    """Sends operations to MLflow in the background."""

    def __init__(self, place: Place, unsent: Path, reporter: Reporter):
        self.place, self.unsent, self.reporter = place, unsent, reporter
        self.mlflow_ids: dict[str, str] = {}
        self.experiment_id: str | None = None
        self._queue: queue.Queue[Operation | None] = queue.Queue()
        self._closing = threading.Event()
        self._idle = threading.Condition()
        self._waiting = 0
        self._warned = False
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Queue an operation."""
        with self._idle:
            self._waiting += 1
        self._queue.put(operation)

    def new_run(
        self,
        name: str,
        parent: RunRecorder | None = None,
        tags: Mapping[str, str] | None = None,
        resume: str | None = None,
    ) -> RunRecorder:
        """A new run, nested in `parent`; or go on with an earlier one by its MLflow id."""
        local_id = uuid.uuid4().hex
        self.put(
            {
                "do": "create",
                "run": local_id,
                "name": name,
                "parent": parent.local_id if parent else None,
                "tags": dict(tags or {}),
                "resume": resume,
                "time": round(time.time() * 1000),
            }
        )
        return RunRecorder(self, local_id)

    def flush(self, seconds: float) -> bool:
        """Wait until everything is sent, at most `seconds`. Whether it is."""
        deadline = time.monotonic() + seconds
        with self._idle:
            while self._waiting and time.monotonic() < deadline:
                self._idle.wait(0.2)
            return self._waiting == 0

    def close(self, seconds: float = 30.0) -> None:
        """Send what is left; what cannot be sent is written to the `unsent` file, and said."""
        self.flush(seconds)
        self._closing.set()
        self._queue.put(None)
        self._thread.join(seconds)

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        sender = Sender(self.place, self.mlflow_ids)
        backlog: list[Operation] = []
        while True:
            operation = self._queue.get()
            if operation is None:
                break
            while not self._send(sender, operation):
                if self._closing.wait(RETRY_SECONDS):
                    backlog.append(operation)
                    break
            with self._idle:
                self._waiting -= 1
                self._idle.notify_all()
        while not self._queue.empty():
            if (operation := self._queue.get()) is not None:
                backlog.append(operation)
        if backlog:
            self._leave(backlog)

    def _send(self, sender: Sender, operation: Operation) -> bool:
        try:
            sender.send(operation)
            self.experiment_id = sender.experiment_id
        except ServerAwayError as error:
            if not self._warned:
                self.reporter.warn(f"MLflow at {self.place.uri} does not answer ({error}); training goes on, records wait")
                self._warned = True
            return False
        except Exception as error:
            # A record that MLflow refuses must neither stop training nor hold up the ones behind it.
            self.reporter.warn(f"MLflow refused to record {operation['do']}: {str(error).splitlines()[0]}")
        return True

    def _leave(self, operations: list[Operation]) -> None:
        self.unsent.parent.mkdir(parents=True, exist_ok=True)
        header = {"place": self.place.__dict__, "mlflow_ids": self.mlflow_ids}
        write_atomically(self.unsent, "".join(json.dumps(item) + "\n" for item in (header, *operations)))
        self.reporter.warn(
            f"{len(operations)} records could not be sent to {self.place.uri}; they are in {self.unsent}. When it is back: "
            f"cosa sync {self.unsent}"
        )


class ServerAwayError(Exception):
    """The tracking server cannot be reached; the operation can be tried again later."""


class Sender:
    """Applies operations with MLflow's client, in the calling thread."""

    def __init__(self, place: Place, mlflow_ids: dict[str, str]):
        self.place, self.mlflow_ids = place, mlflow_ids
        self.experiment_id: str | None = None
        self._client: Any = None

    def send(self, operation: Operation) -> None:
        """Apply one operation.

        Raises:
            ServerAwayError: try again later.
        """
        import requests

        try:
            client = self._connect()
            getattr(self, f"_{operation['do']}")(client, operation)
        except (requests.RequestException, ConnectionError, TimeoutError) as error:
            raise ServerAwayError(type(error).__name__) from error
        except Exception as error:
            from mlflow.exceptions import MlflowException

            away = isinstance(error, MlflowException) and (
                error.error_code in ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
                or "API request to" in str(error)
                or "Max retries exceeded" in str(error)
            )
            if away:
                raise ServerAwayError(str(error).splitlines()[0][:120]) from error
            raise

    def _connect(self) -> Any:
        if self._client is not None:
            return self._client
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the queue itself retries
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        from mlflow.entities import LifecycleStage
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if self.place.uri.startswith("sqlite:///"):
            Path(self.place.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=self.place.uri)
        experiment = client.get_experiment_by_name(self.place.experiment)
        if experiment is None:
            self.experiment_id = client.create_experiment(self.place.experiment, self.place.artifact_location)
        else:
            self.experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == LifecycleStage.DELETED:
                client.restore_experiment(self.experiment_id)
        self._client = client
        return client

    def _create(self, client: Any, operation: Operation) -> None:
        from mlflow.exceptions import MlflowException

        if operation["resume"] is not None:
            try:
                client.update_run(operation["resume"], status="RUNNING")
                self.mlflow_ids[operation["run"]] = operation["resume"]
                if operation["parent"] is not None:
                    client.set_tag(operation["resume"], "mlflow.parentRunId", self.mlflow_ids[operation["parent"]])
                return
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        tags = dict(operation["tags"])
        if operation["parent"] is not None:
            tags["mlflow.parentRunId"] = self.mlflow_ids[operation["parent"]]
        run = client.create_run(self.experiment_id, start_time=operation["time"], tags=tags, run_name=operation["name"])
        self.mlflow_ids[operation["run"]] = run.info.run_id

    def _params(self, client: Any, operation: Operation) -> None:
        from mlflow.entities import Param

        values = [Param(name, value[:6000]) for name, value in operation["values"].items()]
        for start in range(0, len(values), PARAMS_PER_CALL):
            client.log_batch(self.mlflow_ids[operation["run"]], params=values[start : start + PARAMS_PER_CALL])

    def _tags(self, client: Any, operation: Operation) -> None:
        from mlflow.entities import RunTag

        values = [RunTag(name, value) for name, value in operation["values"].items()]
        client.log_batch(self.mlflow_ids[operation["run"]], tags=values)

    def _metrics(self, client: Any, operation: Operation) -> None:
        from mlflow.entities import Metric

        points = [Metric(name, value, stamp, step) for name, value, stamp, step in operation["points"]]
        for start in range(0, len(points), METRICS_PER_CALL):
            client.log_batch(self.mlflow_ids[operation["run"]], metrics=points[start : start + METRICS_PER_CALL])

    def _artifact(self, client: Any, operation: Operation) -> None:
        path, folder = Path(operation["path"]), operation["folder"] or None
        if path.is_dir():
            client.log_artifacts(self.mlflow_ids[operation["run"]], str(path), folder)
        elif path.exists():
            client.log_artifact(self.mlflow_ids[operation["run"]], str(path), folder)

    def _end(self, client: Any, operation: Operation) -> None:
        client.set_terminated(self.mlflow_ids[operation["run"]], operation["status"], operation["time"])


def send_unsent(path: Path) -> int:
    """Send the records of an `unsent` file and remove it; how many were sent.

    Raises:
        ServerAwayError: the server went away; the file then holds what is still unsent.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    header = json.loads(lines[0])
    sender = Sender(Place(**header["place"]), header["mlflow_ids"])
    for index, line in enumerate(lines[1:]):
        try:
            sender.send(json.loads(line))
        except ServerAwayError:
            rest = [json.dumps({"place": header["place"], "mlflow_ids": sender.mlflow_ids}), *lines[1 + index :]]
            write_atomically(path, "\n".join(rest) + "\n")
            raise
    path.unlink()
    return len(lines) - 1


# -- addresses in the UI ------------------------------------------------------------------------------------------------


def compare_url(base: str, run_ids: Iterable[str], experiment_id: str) -> str:
    """Address of the UI's comparison of runs."""

    def encoded(values: list[str]) -> str:
        return quote(json.dumps(values, separators=(",", ":")))

    return f"{base}/#/compare-runs?runs={encoded(list(run_ids))}&experiments={encoded([experiment_id])}"


def experiment_url(base: str, experiment_id: str) -> str:
    """Address of an experiment's table of runs in the UI."""
    return f"{base}/#/experiments/{experiment_id}/runs"


def sync_files(files: Iterable[Path]) -> None:
    """Send `unsent` files, for `cosa sync`.

    Raises:
        UserError: a file is missing, or the server is still away; what was not sent stays in the file.
    """
    reporter = Reporter()
    for path in files:
        if not path.is_file():
            raise UserError(f"no file {path}")
        try:
            count = send_unsent(path)
        except ServerAwayError as error:
            raise UserError(f"{path}: the tracking server does not answer ({error}); try again when it does") from error
        reporter.say(f"sent {count} records of {path}")
