"""The MLflow store: says where it is, and makes every call to it. Besides this file, only `model_registry.py` and
`logged_models.py`, which it calls, import mlflow."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflows.records.artifact_links import log_folder
from workflows.records.local_database import experiment_tags, recorded_experiments
from workflows.records.logged_models import log_datasets, log_model, log_model_metrics, show_model
from workflows.records.markdown_table import NOTE_TAG
from workflows.records.model_registry import STAGE, NotComparableError, register
from workflows.records.run_table import markdown
from workflows.records.ui_pages import (
    EXPERIMENT_TAGS,
    Comparison,
    comparison_path,
    comparison_view,
    results_view,
    saved_comparison,
    shows_all_of,
    updated_at,
)
from workflows.results.atomic import write_atomically
from workflows.results.layout import PARTIAL
from workflows.spec.secrets import mask_passwords, without_password

Operation = dict[str, Any]  # {"do": name, "run": local id, ...} is plain JSON, so that it can wait in a file.
PROCESS = "cosa.process"  # This tag names the process that works on a run (`ProcessMark`).
METRICS_PER_CALL = 1000  # MLflow refuses more.
PARAMS_PER_CALL = 100
LONGEST_NAME, LONGEST_PARAM = 250, 6000  # characters. MLflow refuses all that is sent with a longer name.
BY_MLFLOW_3 = ("datasets", "model", "model_shown", "model_metrics", "page")  # An older server lacks some of these operations.
DATABASE = "mlflow.db"  # in a storage folder
REQUEST_SECONDS, UPLOAD_SECONDS = "10", "300"  # A server may answer an upload only when it has passed it on.


def local_store(storage: Path) -> str:
    """Return the URI of the sqlite store in a storage folder; it is absolute, so that the working directory is irrelevant."""
    path = str(storage.absolute() / DATABASE)
    # Given the longer name of the dialect, MLflow does not make a folder of the quoted name.
    return f"sqlite:///{path}" if path == _quoted(path) else f"sqlite+pysqlite:///{_quoted(path)}"


def local_artifacts(storage: Path) -> str:
    """Return where a local store keeps artifacts: below the storage folder, as MLflow understands its name."""
    path = str(storage.absolute() / "mlflow-artifacts")
    return path if path == _quoted(path) else f"file://{_quoted(path)}"


def _quoted(path: str) -> str:
    """Quote what has a meaning in an address: a folder may be called C#, or what?, or 50%20."""
    return path.translate({ord(sign): f"%{ord(sign):02X}" for sign in "%?#"})


@dataclass(frozen=True)
class TrackingStore:
    """Where records go."""

    uri: str
    experiment: str
    artifact_location: str | None  # It is set only for a local store: a server has its own.

    @property
    def without_password(self) -> str:
        """Return the URI for files, without secrets.

        It lacks `user:password@` of a server, which MLflow then takes from MLFLOW_TRACKING_USERNAME and _PASSWORD, and the
        password of a database, which PostgreSQL's client takes from PGPASSWORD or ~/.pgpass.
        """
        return without_password(self.uri, keep_user=not self.uri.startswith("http"))

    @property
    def shown(self) -> str:
        """Return the URI as people may see it."""
        return mask_passwords(self.uri)

    @property
    def sqlite_file(self) -> Path | None:
        """Return the file of an sqlite store; None for another store."""
        if not self.uri.startswith("sqlite"):
            return None
        from sqlalchemy.engine import make_url

        return Path(make_url(self.uri).database or "")

    def recorded_experiment(self, name: str | None = None) -> str | None:
        """Return MLflow's id of the experiment, or of another one; None if it has no runs, or only MLflow can tell."""
        return recorded_experiments(self.sqlite_file).get(name or self.experiment) if self.sqlite_file is not None else None

    def recorded_comparison(self, experiment_id: str, sweep: str = "") -> str | None:
        """Return the key of the view that compares the runs of an experiment, of the variants of a sweep, or the trials of a
        stage, as far as there is one; None if only MLflow can tell."""
        return (
            saved_comparison(experiment_tags(self.sqlite_file, experiment_id), sweep) if self.sqlite_file is not None else None
        )


class ServerAwayError(Exception):
    """The tracking store cannot be reached or opened; the operation can be tried again later."""


class RecordError(Exception):
    """What a person should know about a record; trying again would not help."""


class Sender:
    """Applies operations with MLflow's client, in the calling thread."""

    def __init__(self, store: TrackingStore, mlflow_ids: dict[str, str], say: Callable[[str], None] | None = None):
        """say: is called with what a person wants to know of a record."""
        self.store, self.mlflow_ids, self._say = store, mlflow_ids, say
        self.experiment_id: str | None = None
        self._client: Any = None

    def send(self, operation: Operation) -> None:
        """Apply one operation.

        Raises:
            ServerAwayError: try again later.
        """
        import requests

        try:
            client = self._client or self._connect()
        except Exception as error:  # Whatever prevents the store from opening, the records must not be lost.
            raise ServerAwayError(_why_away(error)) from error
        try:
            getattr(self, f"_{operation['do']}")(client, operation)
        except (requests.RequestException, ConnectionError, TimeoutError) as error:
            raise ServerAwayError(_why_away(error)) from error
        except NotComparableError as error:
            raise RecordError(str(error)) from error
        except Exception as error:
            from mlflow.exceptions import MlflowException

            if operation["do"] in BY_MLFLOW_3 and _is_unknown_to_server(error):
                raise RecordError(
                    "the tracking server is older than MLflow 3: models and their metrics are not recorded"
                ) from error
            away = isinstance(error, MlflowException) and (
                error.error_code in ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
                or "API request to" in str(error)
                or "Max retries exceeded" in str(error)
            )
            if away:
                raise ServerAwayError(_why_away(error)) from error
            raise

    def _connect(self) -> Any:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # The queue itself retries.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", REQUEST_SECONDS)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # It prints addresses of other pages.
        from mlflow.entities import LifecycleStage
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        with _only_one_creates(self.store):
            client = MlflowClient(tracking_uri=self.store.uri)
            experiment = client.get_experiment_by_name(self.store.experiment)
            if experiment is None:
                self.experiment_id = client.create_experiment(
                    self.store.experiment, self.store.artifact_location, tags=EXPERIMENT_TAGS
                )
            else:
                self.experiment_id = experiment.experiment_id
                if experiment.lifecycle_stage == LifecycleStage.DELETED:
                    client.restore_experiment(self.experiment_id)
        self._client = client
        return client

    def _create(self, client: Any, operation: Operation) -> None:
        note = operation["note"]
        parent = self.mlflow_ids[operation["parent"]] if operation["parent"] is not None else None
        known = next((known for place in _places_of(note) if (known := noted_run(place)) is not None), None)
        if known is not None and _resume_run(client, known):
            if parent is not None:
                client.set_tag(known, "mlflow.parentRunId", parent)
            client.set_tag(known, PROCESS, operation["tags"].get(PROCESS, ""))
            self.mlflow_ids[operation["run"]] = known
            return
        tags = {**operation["tags"], **({"mlflow.parentRunId": parent} if parent is not None else {})}
        run = client.create_run(
            self.experiment_id, start_time=operation["time"], tags=tags, run_name=operation["name"][:LONGEST_NAME]
        )
        self.mlflow_ids[operation["run"]] = run.info.run_id
        for place in _places_of(note):
            # A result lists its files, so that none of them may change.
            if place.parent.is_dir() and (str(place) == note or not place.exists()):
                write_atomically(place, json.dumps({"mlflow_run_id": run.info.run_id}) + "\n")
                break

    def _params(self, client: Any, operation: Operation) -> None:
        from mlflow.entities import Param

        run_id = self.mlflow_ids[operation["run"]]
        logged = client.get_run(run_id).data.params  # A resumed run has some; MLflow refuses to change them.
        named = {_param_name(name): value for name, value in operation["values"].items()}
        values = [Param(name, value[:LONGEST_PARAM]) for name, value in named.items() if name not in logged]
        for start in range(0, len(values), PARAMS_PER_CALL):
            client.log_batch(run_id, params=values[start : start + PARAMS_PER_CALL])

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
        with _patience():
            if path.is_dir():
                log_folder(client, self.mlflow_ids[operation["run"]], path, folder or "")
            else:
                client.log_artifact(self.mlflow_ids[operation["run"]], str(path), folder)

    def _register(self, client: Any, operation: Operation) -> None:
        with _patience():
            run_id, path, tags = self.mlflow_ids[operation["run"]], Path(operation["path"]), operation["tags"]
            registered = register(client, run_id, operation["folder"], path, operation["name"], tags)
        if self._say is not None:
            self._say(f"{tags.get(STAGE, 'a model')} is {registered}")

    def _table(self, client: Any, operation: Operation) -> None:
        content = markdown(
            operation["rows"], operation.get("results", ()), self.mlflow_ids, lambda run_id: _experiment_of(client, run_id)
        )
        client.set_tag(self.mlflow_ids[operation["run"]], NOTE_TAG, content)

    def _note(self, client: Any, operation: Operation) -> None:
        """Describe a run. What it compares has a view of its own, because later runs compare others."""
        run_id, text = self.mlflow_ids[operation["run"]], operation["text"]
        if operation["comparison"] is not None:
            comparison = Comparison(**operation["comparison"])
            comparison = replace(comparison, key=f"{comparison.key}-{run_id[:8]}")
            client.set_experiment_tag(self.experiment_id, *comparison_view(comparison, run_id, operation["time"]))
            text = f"[{comparison.name} in charts]({comparison_path(str(self.experiment_id), comparison.key)})\n\n{text}"
        client.set_tag(run_id, NOTE_TAG, text)

    def _datasets(self, client: Any, operation: Operation) -> None:
        log_datasets(client, self.mlflow_ids[operation["run"]], operation["datasets"])

    def _model(self, client: Any, operation: Operation) -> None:
        run_id, parent = (self.mlflow_ids[operation[one]] for one in ("run", "parent"))
        params = {_param_name(name): value[:LONGEST_PARAM] for name, value in operation["params"].items()}
        experiment = str(_experiment_of(client, run_id) or self.experiment_id)
        log_model(client, experiment, run_id, operation["name"], params, operation["tags"])
        for shown_by in (run_id, parent):
            show_model(client, experiment, run_id, shown_by)

    def _model_shown(self, client: Any, operation: Operation) -> None:
        made_by = self.mlflow_ids[operation["made_by"]]
        experiment = _experiment_of(client, made_by)
        if experiment == self.experiment_id:  # A page shows no models of other experiments.
            show_model(client, str(experiment), made_by, self.mlflow_ids[operation["run"]])

    def _model_metrics(self, client: Any, operation: Operation) -> None:
        made_by, run_id = (self.mlflow_ids[operation[one]] for one in ("made_by", "run"))
        experiment = _experiment_of(client, made_by)
        if experiment is not None:
            log_model_metrics(client, experiment, made_by, run_id, operation["points"], operation["dataset"])

    def _page(self, client: Any, operation: Operation) -> None:
        now, tags = operation["time"], client.get_experiment(self.experiment_id).tags
        tag, view = results_view(operation["columns"], now)
        # What waited in a file, or did not run to its end, must not replace what a later or a complete run has shown.
        if operation["columns"] and (tag not in tags or (operation["replaces"] and updated_at(tags[tag]) <= now)):
            client.set_experiment_tag(self.experiment_id, tag, view)
        if operation["comparison"] is not None:
            comparison = Comparison(**operation["comparison"])
            run = comparison.filtered_by or ""
            tag, view = comparison_view(comparison, self.mlflow_ids.get(run, run), now)
            shown = tags.get(tag)
            # Charts of an invocation that was interrupted lack what it did not come to.
            may_replace = shown is None or operation["replaces"] or shows_all_of(view, shown)
            if may_replace and updated_at(shown or "") <= now:
                client.set_experiment_tag(self.experiment_id, tag, view)

    def _close(self, client: Any, operation: Operation) -> None:
        """End the runs that a killed process left open."""
        left = f"attributes.status = 'RUNNING' and tags.`{PROCESS}` = '{operation['process']}'"
        for run in client.search_runs([self.experiment_id], left, max_results=1000):
            client.set_terminated(run.info.run_id, "KILLED", operation["time"])

    def _forget(self, client: Any, operation: Operation) -> None:
        """Remove a file that says what is not recorded: all before it is."""
        del client
        Path(operation["path"]).unlink(missing_ok=True)

    def _end(self, client: Any, operation: Operation) -> None:
        client.set_terminated(self.mlflow_ids[operation["run"]], operation["status"], operation["time"])


def _is_unknown_to_server(error: Exception) -> bool:
    """Return whether a server has answered that it has no such endpoint."""
    return re.search(r"failed with error code (404|405|501)\b", str(error)) is not None


def _param_name(name: str) -> str:
    """Return a name that MLflow takes: options of converters may be called anything."""
    return re.sub(r"[^\w./ :-]", "_", name)[:LONGEST_NAME].strip("/. ") or "_"


def first_line(error: BaseException) -> str:
    """Say an error in one line: its type and how its text begins."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _why_away(error: BaseException) -> str:
    """Return what the system said of a connection, which HTTP clients wrap in long texts, or else the error's own line."""
    innermost = error
    while (inner := innermost.__cause__ or innermost.__context__) is not None:
        innermost = inner
    return first_line(innermost) if isinstance(innermost, OSError) else first_line(error)


@contextmanager
def _only_one_creates(store: TrackingStore) -> Iterator[None]:
    """Let one process after the other make an sqlite store's tables: at the same time, they damage it for good."""
    if store.sqlite_file is None:
        yield
        return
    store.sqlite_file.parent.mkdir(parents=True, exist_ok=True)
    with store.sqlite_file.with_name(f".{store.sqlite_file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _places_of(note: str | None) -> list[Path]:
    """Return where a run's note may be: in the folder of unfinished work, or in the result that it has become meanwhile."""
    if note is None:
        return []
    names = [name.removesuffix(PARTIAL) for name in Path(note).parent.parts]
    return [Path(note), Path(*names, Path(note).name)]


def noted_run(note: Path) -> str | None:
    """Read the MLflow id in a note of an earlier invocation; None if there is none."""
    if not note.is_file():
        return None
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["mlflow_run_id"])
    except (ValueError, TypeError, KeyError):
        return None


def _resume_run(client: Any, run_id: str) -> bool:
    """Set a run to RUNNING again; return False if it was deleted meanwhile."""
    if _experiment_of(client, run_id) is None:
        return False
    client.update_run(run_id, status="RUNNING")
    return True


def _experiment_of(client: Any, run_id: str) -> str | None:
    """Return the id of the experiment that a run is in; None if the run does not exist or is deleted."""
    from mlflow.entities import LifecycleStage
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return None if info.lifecycle_stage == LifecycleStage.DELETED else str(info.experiment_id)


@contextmanager
def _patience() -> Iterator[None]:
    """Give requests in the block more time, because they upload files."""
    usual = os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    if usual == REQUEST_SECONDS:
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = UPLOAD_SECONDS
    try:
        yield
    finally:
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = usual
