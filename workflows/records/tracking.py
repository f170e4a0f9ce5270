"""Records of runs for MLflow, sent by one background thread of the driver, in order, so that nothing ever waits for MLflow.

If the server is away, records wait; what is still unsent at the end is left in a file that `cosa sync` sends later.
"""

from __future__ import annotations

import json
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from cosa.errors import UserError
from workflows.records.metric_batches import deliver, remove_from, travelling_together
from workflows.records.mlflow_store import PROCESS, Operation, Sender, ServerAwayError, TrackingStore
from workflows.records.process_mark import ProcessMark
from workflows.records.run_table import StageRow
from workflows.records.ui_pages import Comparison
from workflows.records.unrecorded import hand_over
from workflows.results.atomic import write_atomically
from workflows.spec.secrets import Secrets, mask_passwords
from workflows.terminal.reporter import Reporter

RETRY_SECONDS = 10.0
GATHER_SECONDS = 10.0  # Metrics wait so long for more while nothing else waits: a call costs some 10 ms of a processor.
ENOUGH_RECORDS = 100  # So many do not wait any longer.
# These fields of an operation hold no free text.
AS_THEY_ARE = ("do", "run", "parent", "made_by", "filtered_by", "note", "path", "folder", "time", "process")
STAGE_KIND = "cosa.stage_kind"  # This tag of a run holds its kind of stage, TRIAL or INVOCATION.
TRIAL, INVOCATION = "trial", "invocation"
SWEEP = "cosa.sweep"  # This tag of an invocation is shared by the variants of one `--sweep`.


class RunRecorder:
    """One MLflow run. Its methods return at once."""

    def __init__(self, tracker: Tracker, local_id: str):
        self.tracker, self.local_id = tracker, local_id

    @property
    def mlflow_id(self) -> str | None:
        """Return MLflow's own id, once the server has given it."""
        return self.tracker.mlflow_ids.get(self.local_id)

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names."""
        self.tracker.put({"do": "params", "run": self.local_id, "values": flat(values)})

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags."""
        self.tracker.put({"do": "tags", "run": self.local_id, "values": {k: str(v) for k, v in values.items()}})

    def metrics(self, values: Mapping[str, float], step: int = 0, seconds: float | None = None) -> None:
        """Record metrics at a step; `seconds` is the time they were measured at."""
        if not values:
            return
        stamp = round((time.time() if seconds is None else seconds) * 1000)
        points = [[name, float(value), stamp, step] for name, value in values.items()]
        self.tracker.put({"do": "metrics", "run": self.local_id, "points": points})

    def artifact(self, path: Path, folder: str = "") -> None:
        """Record a file or folder."""
        self.tracker.put({"do": "artifact", "run": self.local_id, "path": str(path.absolute()), "folder": folder})

    def table(self, rows: Iterable[StageRow], results: Sequence[Mapping[str, Any]] = ()) -> None:
        """Record the results and the stages of an invocation, as its description."""
        plain = [row.plain() for row in rows]
        self.tracker.put({"do": "table", "run": self.local_id, "rows": plain, "results": list(results)})

    def note(self, text: str, comparison: Comparison | None) -> None:
        """Record the description of a run, in Markdown. comparison: of runs below it, to which the description then leads."""
        plain = comparison.plain() if comparison is not None else None
        now = round(time.time() * 1000)
        self.tracker.put({"do": "note", "run": self.local_id, "text": text, "comparison": plain, "time": now})

    def datasets(self, used: Sequence[Mapping[str, str]]) -> None:
        """Record what the run reads (`logged_models.log_datasets`)."""
        if used:
            self.tracker.put({"do": "datasets", "run": self.local_id, "datasets": list(used)})

    def model(
        self,
        parent: RunRecorder,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        checkpoint: Path | None = None,
    ) -> None:
        """Record that this run, and so its parent, made a model. checkpoint: its files, if MLflow should have them."""
        known = {
            "name": name,
            "params": flat(params),
            "tags": {key: str(value) for key, value in tags.items()},
            "checkpoint": str(checkpoint) if checkpoint is not None else None,
        }
        self.tracker.put({"do": "model", "run": self.local_id, "parent": parent.local_id, **known})

    def shows_model_of(self, made_by: RunRecorder) -> None:
        """Record that this run used the model that another one made."""
        self.tracker.put({"do": "model_shown", "run": self.local_id, "made_by": made_by.local_id})

    def metrics_of_model(
        self, made_by: RunRecorder, values: Mapping[str, float], dataset: Mapping[str, str] | None, seconds: float
    ) -> None:
        """Record metrics that this run measured of the model that a run made.

        With the same values and `seconds`, `metrics` records the same points.

        Args:
            made_by: the run that made the model.
            values: metrics by name.
            dataset: what they were measured on; None if they are not about a dataset.
            seconds: the time they were measured at.
        """
        points = [[name, float(value), round(seconds * 1000), 0] for name, value in values.items()]
        measured = {"points": points, "dataset": dict(dataset) if dataset is not None else None}
        if points:
            self.tracker.put({"do": "model_metrics", "run": self.local_id, "made_by": made_by.local_id, **measured})

    def register(self, checkpoint: Path, folder: str, name: str, tags: Mapping[str, str]) -> None:
        """Make a checkpoint, an artifact of this run in a folder, a version of a registered model (`model_registry`)."""
        path = str(checkpoint.absolute())
        tags = {key: str(value) for key, value in tags.items()}
        self.tracker.put({"do": "register", "run": self.local_id, "path": path, "folder": folder, "name": name, "tags": tags})

    def forget(self, path: Path) -> None:
        """Remove a file once all that was recorded before is in MLflow."""
        self.tracker.put({"do": "forget", "run": self.local_id, "path": str(path.absolute())})

    def end(self, status: str, seconds: float | None = None) -> None:
        """End the run: FINISHED, FAILED or KILLED; `seconds` is the time it ended at, if that is not now."""
        stamp = round((time.time() if seconds is None else seconds) * 1000)
        self.tracker.put({"do": "end", "run": self.local_id, "status": status, "time": stamp})


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Turn {'a': {'b': 1}} into {'a.b': '1'}; a list of plain values stays one value."""
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

    def __init__(self, store: TrackingStore, unsent: Path, reporter: Reporter):
        self.store, self.unsent, self.reporter = store, unsent, reporter
        self.mlflow_ids: dict[str, str] = {}
        self.experiment_id: str | None = None
        self._pending: deque[Operation] = deque()
        self._changed = threading.Condition()  # It guards everything below.
        self._others = 0  # It counts operations in _pending that are no metrics.
        self._away = self._closing = False
        self._flushing = 0  # It counts callers that wait; nothing is gathered meanwhile.
        self._try_again = False
        self._uploading = False
        self._reported: set[str] = set()  # Each problem is reported once.
        self._reported_away = False
        self._secrets = Secrets.of_process()
        self._process = str(ProcessMark.own())
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Queue an operation; secrets in its texts are hidden."""
        if operation["do"] != "metrics":
            operation = {k: v if k in AS_THEY_ARE else self._secrets.hide_in(v) for k, v in operation.items()}
        with self._changed:
            self._pending.append(operation)
            self._others += operation["do"] != "metrics"
            self._changed.notify_all()

    def new_run(
        self,
        name: str,
        parent: RunRecorder | None = None,
        tags: Mapping[str, str] | None = None,
        note: Path | None = None,
    ) -> RunRecorder:
        """Create a run, nested in `parent`. Its MLflow id is saved in the file `note`; if that exists, its run is resumed."""
        local_id = uuid.uuid4().hex
        self.put(
            {
                "do": "create",
                "run": local_id,
                "name": name,
                "parent": parent.local_id if parent else None,
                "tags": {**(tags or {}), PROCESS: self._process},
                "note": str(note) if note is not None else None,
                "time": round(time.time() * 1000),
            }
        )
        return RunRecorder(self, local_id)

    def known_run(self, mlflow_id: str) -> RunRecorder:
        """Open a run that MLflow has already, to add to it."""
        local_id = uuid.uuid4().hex
        self.mlflow_ids[local_id] = mlflow_id
        return RunRecorder(self, local_id)

    def page(self, columns: Sequence[str], comparison: Comparison | None, *, replaces: bool) -> None:
        """Record what the experiment's page shows: a table of invocations, and a view that compares runs.

        Args:
            columns: metrics of the table.
            comparison: of runs; None if there is nothing to compare.
            replaces: whether the table takes the place of that of an earlier invocation.
        """
        plain = comparison.plain() if comparison is not None else None
        shown = {"columns": list(columns), "comparison": plain, "replaces": replaces, "time": round(time.time() * 1000)}
        self.put({"do": "page", "run": "", **shown})

    def close_killed(self, process: str) -> None:
        """End the runs that a process left open when it was killed."""
        self.put({"do": "close", "run": "", "process": process, "time": round(time.time() * 1000)})

    def flush(self, seconds: float) -> bool:
        """Wait until all is sent, at most `seconds`, and not at all for a server that is away. Return whether all is sent."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._pending or self._away, seconds)
            self._flushing -= 1
            return not self._pending

    def close(self, seconds: float = 30.0) -> None:
        """Send what is left; a server that was away is tried once more. When nothing could be sent for `seconds` and no upload
        is running, or on Ctrl-C, the rest is written to the `unsent` file, and a warning says so."""
        with self._changed:
            self._away, self._try_again = False, True
        try:
            self._drain(seconds)
        finally:
            with self._changed:
                self._closing = True
                left = list(self._pending)
                self._changed.notify_all()
            if left:
                self._leave(left)

    def _drain(self, seconds: float) -> None:
        while True:
            waiting = len(self._pending)
            if self.flush(seconds) or self._away or (len(self._pending) == waiting and not self._uploading):
                return
            self.reporter.print(
                f"Sending {len(self._pending)} records to MLflow, uploads among them (Ctrl-C: later, by cosa sync)"
            )

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        sender = Sender(self.store, self.mlflow_ids, lambda text: self.reporter.print(f"  {escape(text)}"))
        last_sent = -math.inf
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                self._changed.wait_for(self._is_urgent, last_sent + GATHER_SECONDS - time.monotonic())
                if self._closing:
                    return
                operations = travelling_together(self._pending)
                self._uploading = operations[0]["do"] in ("artifact", "register")
            done = self._send(sender, operations)
            last_sent = time.monotonic()
            with self._changed:
                self._away = not done
                if self._closing:
                    return
                if done:
                    remove_from(self._pending, operations)
                    self._others -= operations[0]["do"] != "metrics"
                self._changed.notify_all()
                if not done:
                    self._changed.wait_for(lambda: self._closing or self._try_again, RETRY_SECONDS)
                    self._try_again = False

    def _is_urgent(self) -> bool:
        """Return whether what is pending should be sent now instead of waiting for more metrics to go with it."""
        return bool(self._closing or self._others or self._flushing or len(self._pending) >= ENOUGH_RECORDS)

    def _send(self, sender: Sender, operations: list[Operation]) -> bool:
        try:
            deliver(sender, operations, self._report)
        except ServerAwayError as error:
            if not self._reported_away and not self._closing:
                reason = mask_passwords(str(error))
                self.reporter.warn(f"MLflow at {self.store.shown} cannot be used ({reason}); the run continues, records wait")
            self._reported_away = True
            return False
        self.experiment_id = sender.experiment_id
        self._reported_away = False
        return True

    def _report(self, problem: str) -> None:
        """Report what was refused, once."""
        if problem not in self._reported:
            self._reported.add(problem)
            self.reporter.warn(problem)

    def _leave(self, operations: list[Operation]) -> None:
        header = {"place": {**asdict(self.store), "uri": self.store.without_password}, "mlflow_ids": self.mlflow_ids}
        hand_over((Path(operation["path"]) for operation in operations if operation["do"] == "forget"), self.unsent)
        try:
            self.unsent.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.unsent, "".join(json.dumps(item) + "\n" for item in (header, *operations)))
        except OSError as error:
            self.reporter.warn(
                f"{len(operations)} records could neither be sent to {self.store.shown} nor written to {self.unsent} "
                f"({error.strerror}); metrics of an unfinished stage are sent when it resumes"
            )
            return
        self.reporter.warn(
            f"{len(operations)} records could not be sent to {self.store.shown}; they are in {self.unsent}. When it is back: "
            f"cosa sync {self.unsent}"
        )


def send_unsent(path: Path, report: Callable[[str], None]) -> int:
    """Send the records of an `unsent` file and remove it.

    Args:
        path: the file.
        report: is called with what MLflow refuses.

    Returns:
        how many records there were.

    Raises:
        ServerAwayError: the server went away; the file then holds what is still unsent.
        UserError: the file is none of ours.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        header, operations = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
        sender = Sender(TrackingStore(**header["place"]), header["mlflow_ids"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise UserError(f"{path} holds no unsent records; expected a file unsent-*.jsonl of a storage folder") from error
    pending = deque(operations)
    while pending:
        together = travelling_together(pending)
        try:
            deliver(sender, together, report)
        except ServerAwayError:
            rest = [{"place": header["place"], "mlflow_ids": sender.mlflow_ids}, *pending]
            write_atomically(path, "".join(json.dumps(line) + "\n" for line in rest))
            raise
        remove_from(pending, together)
    path.unlink()
    return len(operations)


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
            count = send_unsent(path, reporter.warn)
        except ServerAwayError as error:
            raise UserError(f"{path}: the tracking server does not answer ({error}); try again when it does") from error
        reporter.print(f"sent {count} records of {path}")
