"""What an invocation records of its stages, and what a later one does in its place."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import CAPTIONS, finish, lay_out, plan
from tests.workflows.records.test_tracking import client_of, store, tracker  # noqa: F401 -- a fixture
from tests.workflows.records.test_unrecorded import DEAD
from workflows.planning.step import Step
from workflows.records import tracking
from workflows.records.mlflow_store import Operation, Sender, ServerAwayError, TrackingStore
from workflows.records.outcome import OtherCheckpoints, StageOutcome
from workflows.records.overview import Overview
from workflows.records.process_mark import ProcessMark
from workflows.records.recording import InvocationRecord, _reasons
from workflows.records.tracking import STAGE_KIND, RunRecorder, Tracker, send_unsent
from workflows.records.unrecorded import Unrecorded, killed_invocations, open_invocation
from workflows.results.layout import RUN_NOTE, UNRECORDED_FILE
from workflows.results.manifest import Manifest
from workflows.spec.read import Found
from workflows.spec.sections import DatasetSection, TrackingSection
from workflows.stages.finetune import FinetuneSection
from workflows.terminal.reporter import Reporter

SECTION = FinetuneSection.model_validate(
    {
        "kind": "finetune", "task": "retrieval", "dataset": "d", "epochs": 1, "batch_size": 2, "validation_split": "val",
        "sweep": {"learning_rate": [0.1, 0.3]},
    }
)  # fmt: skip
DATASET = DatasetSection.model_validate(
    {"media": "video", "root": "clips", "frames": "frames", "splits": {"train": "a.json", "val": "b.json"}}
)
TRIALS = ("lr-0.1", "lr-0.2")


@pytest.fixture
def is_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The server is away while it is set."""
    away, send = threading.Event(), Sender.send

    def send_if_there(self: Sender, operation: Operation) -> None:
        if away.is_set():
            raise ServerAwayError("away")
        send(self, operation)

    monkeypatch.setattr(Sender, "send", send_if_there)
    monkeypatch.setattr(tracking, "RETRY_SECONDS", 0.05)
    yield away
    away.clear()


class Sweep:
    """A stage of two trials, each with a checkpoint of step 5, in a storage folder."""

    def __init__(self, storage: Path):
        self.result = storage / "demo" / "retrieval" / "f1"
        self.partial = self.result.with_name("f1.partial")
        metrics = {"text_to_video_r1": 57.041, "final_loss": 0.5}
        started = "2026-11-27T10:00:00+00:00"
        self.manifest = Manifest(
            "demo",
            "retrieval",
            "finetune",
            1,
            "f1",
            {},
            1,
            metrics=metrics,
            details={"best_learning_rate": 0.3},
            started=started,
            seconds=3,
        )
        self.step = Step(
            "retrieval",
            SECTION,
            "run",
            "new",
            "f1",
            seed=1,
            read={name: Found(name, digest) for name, digest in {"d/train/captions": "abc", "d/val/captions": "b"}.items()},
        )

    def record(self, one: Tracker) -> Any:
        """What an invocation has to record with, without the files of its parent run."""
        record: Any = InvocationRecord.__new__(InvocationRecord)
        section = SimpleNamespace(tracking=TrackingSection(checkpoints="all"), seed=1, datasets={"d": DATASET})
        storage = SimpleNamespace(result=lambda *_: self.result, folder=self.result.parents[1])
        record.experiment = SimpleNamespace(name="demo", section=section, frames={})
        record.plan = SimpleNamespace(
            result_of=lambda _: self.result, storage=storage, experiment=record.experiment, steps=(self.step,)
        )
        record.tracker, record.parent, record.rows, record._source = one, one.new_run("invocation"), {}, {}
        record.changes, record.overview = {}, Overview(record.plan, has_earlier=False)
        return record

    def work(self, record: Any) -> tuple[RunRecorder, StageOutcome]:
        """Do the stage's work in the partial folder."""
        self.partial.mkdir(parents=True)
        run = record._run_of(self.step, self.partial)
        others = []
        for name in TRIALS:
            folder = self.partial / "trials" / name / "checkpoints"
            (folder / "step_5").mkdir(parents=True)
            (folder / "step_5" / "made_by").write_text(name)
            trial = record.tracker.new_run(name, run, {STAGE_KIND: "trial"}, folder.parent / RUN_NOTE)
            others.append(OtherCheckpoints(folder, trial))
        (self.partial / "checkpoint").mkdir()
        (self.partial / "checkpoint" / "model.safetensors").write_text("weights")
        return run, StageOutcome("", checkpoint=self.partial / "checkpoint", other_checkpoints=others)

    def publish(self, outcome: StageOutcome) -> Unrecorded:
        files = Unrecorded.of(outcome, self.partial)
        files.write(self.partial)
        self.manifest.write(self.partial)
        self.partial.rename(self.result)
        return files

    def run(self, one: Tracker) -> Any:
        """Do all of an invocation's work, and give the tracker what is to be recorded; return the record."""
        record = self.record(one)
        run, outcome = self.work(record)
        record.published(self.step, run, self.manifest, self.publish(outcome), outcome.other_checkpoints)
        return record


def recorded(store: TrackingStore) -> dict[str, list[str]]:  # noqa: F811
    """By the name of each run but the invocation's, whose checkpoints it has."""
    client = client_of(store)
    found: dict[str, list[str]] = {}
    for run in client.search_runs([client.get_experiment_by_name(store.experiment).experiment_id]):
        if run.info.run_name != "invocation":
            folder = Path(run.info.artifact_uri.removeprefix("file://")) / "checkpoints"
            made_by = [path.read_text() for path in sorted(folder.glob("*/made_by"))]
            assert run.info.run_name not in found
            found[run.info.run_name] = made_by
    return found


def kill(one: Tracker) -> None:
    """End a tracker's thread as if its process was killed: what is queued is lost."""
    with one._changed:
        one._closing = True
        one._changed.notify_all()
    one._thread.join(30)


IN_THEIR_OWN = {"retrieval": [], **{name: [name] for name in TRIALS}}


def test_checkpoints_go_to_their_trials_though_the_server_was_away(
    tmp_path: Path, store: TrackingStore, is_away: threading.Event  # noqa: F811
) -> None:  # fmt: skip
    sweep, one = Sweep(tmp_path), tracker(store, tmp_path)
    is_away.set()
    sweep.run(one)
    is_away.clear()
    one.close()
    assert recorded(store) == IN_THEIR_OWN
    assert not (sweep.result / UNRECORDED_FILE).exists()


@pytest.mark.parametrize("created", ["before", "after", "never"])
def test_checkpoints_of_a_killed_invocation_go_to_their_trials_or_nowhere(
    created: str, tmp_path: Path, store: TrackingStore, is_away: threading.Event, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    """created: when the server gave the trials their runs, seen from the publication of the result."""
    sweep, one = Sweep(tmp_path), tracker(store, tmp_path)
    if created != "before":
        is_away.set()
    _, outcome = sweep.work(sweep.record(one))
    if created == "before":
        one.flush(30)
    sweep.publish(outcome)
    if created == "never":
        kill(one)
        is_away.clear()
    else:
        is_away.clear()
        one.close()
    two = tracker(store, tmp_path)
    left = Unrecorded.read(sweep.result)
    assert left is not None
    sweep.record(two)._finish(sweep.step, sweep.manifest, left)
    two.close()
    assert recorded(store) == (IN_THEIR_OWN if created != "never" else {"retrieval": []})
    assert capsys.readouterr().out.count("are not sent to MLflow") == (len(TRIALS) if created == "never" else 0)
    assert not (sweep.result / UNRECORDED_FILE).exists()
    if created == "after":
        note = json.loads((sweep.result / "trials" / TRIALS[0] / RUN_NOTE).read_text())
        assert client_of(store).get_run(note["mlflow_run_id"]).info.run_name == TRIALS[0]


def is_dead(sweep: Sweep, invocation: Path) -> None:
    """Make it look as if the process that made a result had been killed."""
    for file in (sweep.result / UNRECORDED_FILE, invocation):
        file.write_text(file.read_text().replace(str(ProcessMark.own()), str(DEAD)))


def test_what_waits_in_an_unsent_file_is_not_recorded_by_the_next_invocation(
    tmp_path: Path, store: TrackingStore, is_away: threading.Event  # noqa: F811
) -> None:  # fmt: skip
    sweep, one = Sweep(tmp_path), tracker(store, tmp_path)
    is_away.set()
    record = sweep.run(one)
    invocation = open_invocation(tmp_path, "one")
    record.parent.forget(invocation)
    one.close()
    is_dead(sweep, invocation)

    two = Tracker(store, tmp_path / "unsent-two.jsonl", Reporter())
    again = sweep.record(two)
    again.reused(sweep.step, sweep.manifest)
    assert not any(operation["do"] in ("artifact", "forget") for operation in two._pending)
    assert list(killed_invocations(tmp_path)) == []
    is_away.clear()
    two.close()
    send_unsent(tmp_path / "unsent.jsonl", pytest.fail)
    assert recorded(store) == IN_THEIR_OWN
    assert not (sweep.result / UNRECORDED_FILE).exists()
    assert not invocation.exists()


def test_an_unsent_file_that_is_gone_holds_nothing(tmp_path: Path, store: TrackingStore, is_away: threading.Event) -> None:  # noqa: F811
    sweep, one = Sweep(tmp_path), tracker(store, tmp_path)
    is_away.set()
    record = sweep.record(one)
    run, outcome = sweep.work(record)
    record.published(sweep.step, run, sweep.manifest, sweep.publish(outcome), outcome.other_checkpoints)
    invocation = open_invocation(tmp_path, "one")
    record.parent.forget(invocation)
    one.close()
    is_dead(sweep, invocation)
    (tmp_path / "unsent.jsonl").unlink()
    assert Unrecorded.left_in(sweep.result) is not None
    assert list(killed_invocations(tmp_path)) == [(invocation, DEAD)]


def test_a_result_whose_maker_lives_is_recorded_by_its_maker_alone(
    tmp_path: Path, store: TrackingStore, is_away: threading.Event  # noqa: F811
) -> None:  # fmt: skip
    """The lock of a result is free while its files are still being sent."""
    sweep, one, two = Sweep(tmp_path), tracker(store, tmp_path), tracker(store, tmp_path)
    is_away.set()
    record = sweep.record(one)
    run, outcome = sweep.work(record)
    record.published(sweep.step, run, sweep.manifest, sweep.publish(outcome), outcome.other_checkpoints)
    sweep.record(two).reused(sweep.step, sweep.manifest)
    assert not any(operation["do"] in ("artifact", "forget") for operation in two._pending)
    is_away.clear()
    one.close()
    two.close()
    assert recorded(store) == IN_THEIR_OWN


def test_a_result_of_a_killed_maker_is_recorded_once(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    sweep, one = Sweep(tmp_path), tracker(store, tmp_path)
    _, outcome = sweep.work(sweep.record(one))
    one.flush(30)
    sweep.publish(outcome)
    is_dead(sweep, open_invocation(tmp_path, "one"))
    uploads = []
    for _ in range(2):
        two = tracker(store, tmp_path)
        put = two.put
        two.put = lambda operation, put=put: (uploads.append(operation["do"]), put(operation))  # type: ignore[method-assign]
        sweep.record(two).reused(sweep.step, sweep.manifest)
    assert uploads.count("artifact") == 1 + len(TRIALS)
    two.close()


def figures(store: TrackingStore) -> dict[str, Any]:  # noqa: F811
    """Points of the stage's run, metrics of its model with their datasets, and metrics of the invocation."""
    client = client_of(store)
    experiment = client.get_experiment_by_name(store.experiment).experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    [model] = client.search_logged_models([experiment])
    points = client.get_metric_history(runs["retrieval"].info.run_id, "final/text_to_video_r1")
    return {
        "points": [(point.value, point.timestamp) for point in points],
        "model": sorted((metric.key, metric.dataset_name) for metric in model.metrics),
        "params": model.params,
        "data": [data.dataset.name for data in runs["retrieval"].inputs.dataset_inputs],
        "invocation": runs["invocation"].data.metrics if "retrieval" in runs else {},
    }


@pytest.mark.parametrize("killed", [False, True])
def test_figures_are_recorded_once_though_the_first_invocation_was_killed(
    killed: bool, tmp_path: Path, store: TrackingStore  # noqa: F811
) -> None:  # fmt: skip
    sweep, one = Sweep(tmp_path), tracker(store, tmp_path)
    if killed:
        _, outcome = sweep.work(sweep.record(one))
        one.flush(30)
        sweep.publish(outcome)
        is_dead(sweep, open_invocation(tmp_path, "one"))
        one.close()
        one = tracker(store, tmp_path)
        sweep.record(one).reused(sweep.step, sweep.manifest)
    else:
        sweep.run(one)
    one.close()
    found = figures(store)
    assert found["points"] == [(57.041, 1795773603000)]  # one point, of the time when the work was done
    assert found["model"] == [("final/final_loss", None), ("final/text_to_video_r1", "d/val/captions")]
    assert found["params"]["learning_rate"] == "0.3"  # that of the winner
    assert found["data"] == ["d/train/captions", "d/val/captions"]
    client = client_of(store)
    parents = client.search_runs([client.get_experiment_by_name("demo").experiment_id], "attributes.run_name = 'invocation'")
    assert {"retrieval/text_to_video_r1": 57.04} in [parent.data.metrics for parent in parents]


@pytest.mark.parametrize(
    ("error", "status", "note"),
    [(UserError("no clip 'v1'; rename it"), "FAILED", "no clip 'v1'; rename it"), (KeyboardInterrupt(), "KILLED", None)],
)
def test_a_run_that_failed_says_why(
    error: BaseException, status: str, note: str | None, tmp_path: Path, store: TrackingStore  # noqa: F811
) -> None:  # fmt: skip
    sweep, one = Sweep(tmp_path), tracker(store, tmp_path)
    record = sweep.record(one)
    run = record.stage_run(sweep.step, tmp_path)
    record.failed(sweep.step, run, error)
    one.close()
    found = client_of(store).get_run(run.mlflow_id)
    assert (found.info.status, found.data.tags.get("mlflow.note.content")) == (status, note)
    table = client_of(store).get_run(record.parent.mlflow_id).data.tags["mlflow.note.content"]
    assert (note or "| interrupted |") in table


def test_an_invocation_without_changed_fields_runs_because_of_force_or_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, monkeypatch)
    finish(plan())
    assert _reasons(plan()) == []
    assert _reasons(plan(force=("retrieval", "test"))) == ["forced retrieval"]
    Path("own/val.json").write_text(json.dumps(CAPTIONS[:2]))
    assert all(reason.startswith("data changed: ") and "own/val.json" in reason for reason in _reasons(plan()))
    assert _reasons(plan())
