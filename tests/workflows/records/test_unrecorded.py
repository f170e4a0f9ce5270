"""What MLflow still has to get, and runs that a killed process has left open."""

import json
from pathlib import Path

import pytest

from tests.workflows.records.test_tracking import client_of, store, tracker  # noqa: F401 -- a fixture
from workflows.records.mlflow_store import TrackingStore
from workflows.records.outcome import OtherCheckpoints, StageOutcome
from workflows.records.process_mark import ProcessMark
from workflows.records.unrecorded import OPEN_FOLDER, Unrecorded, killed_invocations, open_invocation
from workflows.results.layout import UNRECORDED_FILE

DEAD = ProcessMark(ProcessMark.own().place, ProcessMark.own().pid, 1e9)
ELSEWHERE = ProcessMark("another-machine", 1, 1e9)


def test_what_is_to_be_recorded_is_read_as_it_was_written(tmp_path: Path) -> None:
    outcome = StageOutcome(
        "", artifacts=[tmp_path / "curves.png"], checkpoint=tmp_path / "checkpoint",
        other_checkpoints=[OtherCheckpoints(tmp_path / "checkpoints")],
    )  # fmt: skip
    written = Unrecorded.of(outcome, tmp_path)
    assert written == Unrecorded(("curves.png",), "checkpoint", (("checkpoints", None),), str(ProcessMark.own()))
    written.write(tmp_path)
    assert Unrecorded.read(tmp_path) == written
    (tmp_path / UNRECORDED_FILE).unlink()
    assert Unrecorded.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"artifacts": 1, "checkpoint": null, "others": []}'])
def test_a_torn_file_means_that_something_is_missing(content: str, tmp_path: Path) -> None:
    (tmp_path / UNRECORDED_FILE).write_text(content)
    assert Unrecorded.read(tmp_path) == Unrecorded.left_in(tmp_path) == Unrecorded((), None, ())


@pytest.mark.parametrize(
    ("process", "unsent", "is_left"),
    [
        (None, None, True),
        (str(DEAD), None, True),
        (str(DEAD), "gone", True),
        (str(DEAD), "there", False),
        (str(ProcessMark.own()), None, False),
        (str(ProcessMark.own()), "gone", False),
        (str(ELSEWHERE), None, False),
    ],
    ids=["nobody", "dead", "dead, file gone", "dead, file there", "alive", "alive, file gone", "elsewhere"],
)
def test_only_what_nobody_holds_is_left(process: str | None, unsent: str | None, is_left: bool, tmp_path: Path) -> None:
    """process: None stands for files of earlier versions, which have none."""
    (tmp_path / "there").touch()
    content = {"artifacts": ["a"], "checkpoint": None, "others": []}
    more = {"process": process, "unsent": str(tmp_path / unsent) if unsent else None} if process else {}
    (tmp_path / UNRECORDED_FILE).write_text(json.dumps({**content, **more}))
    left = Unrecorded.left_in(tmp_path)
    assert (left is not None) is is_left
    if left is not None:
        assert left.taken_over(tmp_path).artifacts == ("a",)
        assert Unrecorded.left_in(tmp_path) is None


def test_only_invocations_of_dead_processes_are_closed(tmp_path: Path) -> None:
    assert list(killed_invocations(tmp_path)) == []
    open_invocation(tmp_path, "alive")
    for name, text in (("dead", str(DEAD)), ("elsewhere", str(ELSEWHERE)), ("damaged", "x"), (".hidden", str(DEAD))):
        (tmp_path / OPEN_FOLDER / name).write_text(text)
    assert [(path.name, mark) for path, mark in killed_invocations(tmp_path)] == [("dead", DEAD)]


def test_runs_of_a_killed_process_are_closed_and_no_others(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    """Those of this process and of other machines stay open; what had ended keeps its status and its time."""
    one = tracker(store, tmp_path)
    runs = {name: one.new_run(name) for name in ("alive", "finished", "left", "elsewhere")}
    runs["finished"].end("FINISHED", 5.0)
    one.flush(30)
    client = client_of(store)
    for name, mark in (("finished", DEAD), ("left", DEAD), ("elsewhere", ELSEWHERE)):
        client.set_tag(runs[name].mlflow_id, "cosa.process", str(mark))
    note = tmp_path / "note"
    note.touch()
    one.close_killed(str(DEAD))
    runs["alive"].forget(note)
    one.close()
    found = {name: client.get_run(run.mlflow_id).info for name, run in runs.items()}
    assert {name: info.status for name, info in found.items()} == {
        "alive": "RUNNING", "finished": "FINISHED", "left": "KILLED", "elsewhere": "RUNNING",
    }  # fmt: skip
    assert found["finished"].end_time == 5000
    assert not note.exists()


def test_a_resumed_run_belongs_to_the_process_that_resumes_it(tmp_path: Path, store: TrackingStore) -> None:  # noqa: F811
    note = tmp_path / "run.json"
    one = tracker(store, tmp_path)
    run = one.new_run("stage", note=note)
    one.flush(30)
    client = client_of(store)
    client.set_tag(run.mlflow_id, "cosa.process", str(DEAD))
    again = one.new_run("stage", note=note)
    one.close_killed(str(DEAD))
    one.close()
    assert again.mlflow_id == run.mlflow_id
    assert client.get_run(run.mlflow_id).info.status == "RUNNING"
    assert client.get_run(run.mlflow_id).data.tags["cosa.process"] == str(ProcessMark.own())
