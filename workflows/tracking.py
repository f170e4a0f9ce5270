"""Records of runs for MLflow, sent by one background thread of the driver, in order, so that nothing ever waits for MLflow.

If the server is away, records wait; what is still unsent at the end is left in a file that `cosa sync` sends later.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cosa.errors import UserError
from workflows.artifacts import write_atomically
from workflows.console import Reporter
from workflows.mlflow_store import Operation, Place, Sender, ServerAwayError, first_line, mask_passwords

RETRY_SECONDS = 10.0
STAGE_KIND = "cosa.stage_kind"  # tag of a run: its kind of stage, or 'trial'
COMPARED = ("trial", "pretrain", "finetune")


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


class Tracker:
    """Sends operations to MLflow in the background, in order. One that the server does not take stays first in the queue."""

    def __init__(self, place: Place, unsent: Path, reporter: Reporter):
        self.place, self.unsent, self.reporter = place, unsent, reporter
        self.mlflow_ids: dict[str, str] = {}
        self.experiment_id: str | None = None
        self._kinds: dict[str, str] = {}
        self._pending: deque[Operation] = deque()
        self._changed = threading.Condition()  # guards _pending, _away and _closing
        self._away = False
        self._closing = False
        self._refused: set[str] = set()  # said once each
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Queue an operation."""
        with self._changed:
            self._pending.append(operation)
            self._changed.notify_all()

    def new_run(
        self,
        name: str,
        parent: RunRecorder | None = None,
        tags: Mapping[str, str] | None = None,
        note: Path | None = None,
    ) -> RunRecorder:
        """A new run, nested in `parent`. Its MLflow id is kept in the file `note`; where that exists, its run goes on."""
        local_id = uuid.uuid4().hex
        self._kinds[local_id] = (tags or {}).get(STAGE_KIND, "")
        self.put(
            {
                "do": "create",
                "run": local_id,
                "name": name,
                "parent": parent.local_id if parent else None,
                "tags": dict(tags or {}),
                "note": str(note) if note is not None else None,
                "time": round(time.time() * 1000),
            }
        )
        return RunRecorder(self, local_id)

    def comparable_runs(self) -> list[str]:
        """MLflow's ids of what a person would compare: the trials of sweeps, or else the stages that train, or else all."""
        by_kind = {kind: [i for local, i in self.mlflow_ids.items() if self._kinds.get(local) == kind] for kind in COMPARED}
        training = by_kind["pretrain"] + by_kind["finetune"]
        return by_kind["trial"] or training or list(self.mlflow_ids.values())

    def flush(self, seconds: float) -> bool:
        """Wait until everything is sent, at most `seconds`, and not at all for a server that is away. Whether it is."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending or self._away, seconds)
            return not self._pending

    def close(self, seconds: float = 30.0) -> None:
        """Wait for what is left at most `seconds`; what is not sent by then is written to the `unsent` file, and said."""
        self.flush(seconds)
        with self._changed:
            self._closing = True
            left = list(self._pending)
            self._changed.notify_all()
        if left:
            self._leave(left)

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        sender = Sender(self.place, self.mlflow_ids)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                if self._closing:
                    return
                operation = self._pending[0]
            done = self._send(sender, operation)
            with self._changed:
                self._away = not done
                if self._closing:
                    return
                if done:
                    self._pending.popleft()
                self._changed.notify_all()
                if not done:
                    self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)

    def _send(self, sender: Sender, operation: Operation) -> bool:
        try:
            sender.send(operation)
            self.experiment_id = sender.experiment_id
        except ServerAwayError as error:
            if not self._away and not self._closing:
                reason = mask_passwords(str(error))
                self.reporter.warn(f"MLflow at {self.place.shown} cannot be used ({reason}); the run goes on, records wait")
            return False
        except Exception as error:
            # A record that MLflow refuses must neither stop training nor hold up the ones behind it.
            refusal = mask_passwords(f"MLflow refused to record {operation['do']}: {first_line(error)}")
            if refusal not in self._refused:
                self._refused.add(refusal)
                self.reporter.warn(refusal)
        return True

    def _leave(self, operations: list[Operation]) -> None:
        self.unsent.parent.mkdir(parents=True, exist_ok=True)
        header = {"place": {**asdict(self.place), "uri": self.place.without_password}, "mlflow_ids": self.mlflow_ids}
        write_atomically(self.unsent, "".join(json.dumps(item) + "\n" for item in (header, *operations)))
        self.reporter.warn(
            f"{len(operations)} records could not be sent to {self.place.shown}; they are in {self.unsent}. When it is back: "
            f"cosa sync {self.unsent}"
        )


def send_unsent(path: Path) -> int:
    """Send the records of an `unsent` file and remove it; how many were sent.

    Raises:
        ServerAwayError: the server went away; the file then holds what is still unsent.
        UserError: the file is none of ours.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        header, operations = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
        sender = Sender(Place(**header["place"]), header["mlflow_ids"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise UserError(f"{path} holds no unsent records; expected a file unsent-*.jsonl of a storage folder") from error
    for index, operation in enumerate(operations):
        try:
            sender.send(operation)
        except ServerAwayError:
            rest = [json.dumps({"place": header["place"], "mlflow_ids": sender.mlflow_ids}), *lines[1 + index :]]
            write_atomically(path, "\n".join(rest) + "\n")
            raise
    path.unlink()
    return len(lines) - 1


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
