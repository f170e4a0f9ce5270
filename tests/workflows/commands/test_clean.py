"""`cosa clean`: shows, asks, and removes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from cosa.errors import UserError
from tests.workflows.planning.planned import finish, lay_out, plan
from tests.workflows.results.stored import stored
from tests.workflows.results.test_uses import RUN
from workflows.commands import clean as cleaned
from workflows.commands.clean import age_in_seconds, clean
from workflows.execution.using_results import note_results
from workflows.results.locks import exclusive
from workflows.results.storage import lock_file
from workflows.spec.problems import UsageError

STORAGE = Path("storage")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        stored(STORAGE, "demo/train", f"train{number}", day=number)
        stored(STORAGE, "demo/test", f"test{number}", day=number, inputs={"train": f"train{number}"})
    return tmp_path


def results() -> set[str]:
    return {path.name for path in STORAGE.glob("[!.]*/[!.]*/*")}


EVERYTHING = {"train1", "test1", "train2", "test2"}


def test_a_dry_run_only_shows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean(STORAGE, dry_run=True)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [
        ["superseded result", "storage/demo/test/test1"], ["superseded result", "storage/demo/train/train1"],
    ]  # fmt: skip
    assert results() == EVERYTHING
    clean(STORAGE, dry_run=True, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [Path(line["path"]).name for line in found["removable"]] == ["test1", "train1"]
    assert found["freed"] == sum(line["size"] for line in found["removable"]) > 0


def test_nothing_is_removed_unless_somebody_agrees(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="nothing was removed, because nobody can be asked here; give --yes"):
        clean(STORAGE)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter([False, True])
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr(cleaned.typer, "confirm", confirm)
    clean(STORAGE)
    assert results() == EVERYTHING
    clean(STORAGE)
    assert results() == {"train2", "test2"}
    assert len(asked) == 2
    clean(STORAGE)
    assert len(asked) == 2, "there is nothing left to ask about"


def test_through_the_command_line(here: Path) -> None:
    run = CliRunner().invoke(app, ["clean", "--yes", "--experiment", "demo"])
    assert run.exit_code == 0, run.output
    assert "removed 2 of 2 things" in run.output
    assert results() == {"train2", "test2"}
    assert CliRunner().invoke(app, ["clean", "--yes", "--older-than", "soon"]).exception is not None


def test_what_a_run_uses_between_two_stages_stays(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = RUN.replace('"abc", "def"', '"train1"')
    run = subprocess.Popen([sys.executable, "-c", listed, "storage"], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "begun\n"
    clean(STORAGE, yes=True)
    assert results() == {"train1", "train2", "test2"}
    assert f"demo/train train1 is used by process {run.pid}" in capsys.readouterr().out
    run.kill()
    run.wait()
    clean(STORAGE, yes=True)
    assert results() == {"train2", "test2"}


def test_what_is_locked_after_the_question_stays(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    lock = exclusive(lock_file(STORAGE, "test1"), "it")

    def confirm(*_: object, **__: object) -> bool:
        lock.__enter__()
        return True

    monkeypatch.setattr(cleaned.typer, "confirm", confirm)
    clean(STORAGE)
    lock.__exit__(None, None, None)
    assert results() == EVERYTHING, "train1 was what test1 was made from"
    assert capsys.readouterr().err.count("is needed now, or gone") == 2


def test_files_that_mlflow_has_too_are_not_freed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = STORAGE / "mlflow-artifacts/demo/run/artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "model.bin").hardlink_to(STORAGE / "demo/train/train1/model.bin")
    clean(STORAGE, dry_run=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["linked_elsewhere"] == len(b"weights")
    clean(STORAGE, yes=True)
    assert (artifacts / "model.bin").read_bytes() == b"weights"


def test_what_is_saved_in_a_bucket_goes_too(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    partial, bucket = STORAGE / "demo/train/new.partial", tmp_path / "bucket" / "run-1"
    partial.mkdir()
    bucket.mkdir(parents=True)
    (partial / "checkpoint_storage.txt").write_text(f"{bucket.as_uri()}\n")
    clean(STORAGE, yes=True)
    assert "a run of its spec would resume it" in capsys.readouterr().out
    assert not bucket.exists()
    assert bucket.parent.exists()
    assert not partial.exists()


@pytest.mark.parametrize("goes_back", [True, False])
def test_after_going_back_to_an_older_spec_its_results_stay(
    goes_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, monkeypatch)
    changed = "stages.retrieval.epochs=3"
    for overrides, when in (((), 1000), ((changed,), 2000)):
        made = plan(*overrides)
        finish(made)
        note_results(plan(*overrides))
        for step in made.to_run:
            os.utime(made.result_of(step.name), (when, when))
    if goes_back:
        note_results(plan())
    clean(STORAGE, yes=True)
    for overrides, is_current in (((), goes_back), ((changed,), not goes_back)):
        again = {step.name for step in plan(*overrides).steps if step.action == "run"}
        assert again == (set() if is_current else {"retrieval", "test"})


def test_wrong_arguments(here: Path) -> None:
    with pytest.raises(UsageError, match="--experiment dmo: no such experiment; did you mean 'demo'"):
        clean(STORAGE, experiment="dmo")
    with pytest.raises(UserError, match="nowhere does not exist; name another folder with --storage"):
        clean(Path("nowhere"))
    assert [age_in_seconds(text) for text in ("30d", "1.5 h", "10m", "2w")] == [2592000, 5400, 600, 1209600]
    with pytest.raises(UsageError, match="--older-than 30: expected a number and m, h, d or w"):
        age_in_seconds("30")
