"""All the ways to name results, and what is suggested for names of nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from tests.workflows.results.stored import stored
from workflows.commands.naming import result_named, results_named
from workflows.results.current import note_current
from workflows.spec.problems import UsageError

RUN, INVOCATION, TRIAL = (
    "3fa7e7eb134a4eda803889a6830dcb69",
    "9fbfc365c14142adad8ee1810e925bf2",
    "8aa58d9cc50b4c259158fa480f422859",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = Path("storage")
    stored(root, "demo/train", "1111aaaa", day=1)
    stored(root, "demo/train", "1111bbbb", day=2, mlflow_run_id=RUN)
    stored(root, "demo/test", "2222cccc", day=3, inputs={"train": "1111bbbb"})
    stored(root, "other/test", "3333dddd", day=4)
    return root


def only(name: str) -> str:
    return result_named(name)[0].fingerprint


@pytest.mark.parametrize(
    "name",
    ["demo/train", "demo/train/1111bbbb", "1111b", "1111bbbb", RUN, RUN[:8], "storage/demo/train/1111bbbb",
     "storage/demo/train", "storage/demo/train/1111bbbb/model.bin", "storage/demo/train/1111bbbb/"],
)  # fmt: skip
def test_one_result_has_many_names(here: Path, name: str) -> None:
    assert only(name) == "1111bbbb"
    assert results_named(name).is_single


@pytest.mark.parametrize("name", ["demo", "storage/demo"])
def test_an_experiment_means_the_current_result_of_each_stage(here: Path, name: str) -> None:
    named = results_named(name)
    assert {stage: one.fingerprint for stage, one in named.results.items()} == {"train": "1111bbbb", "test": "2222cccc"}
    assert not named.is_single
    note_current(here / "demo", {"train": "1111aaaa"}, "", "s.yaml")
    assert {one.fingerprint for one in results_named(name).results.values()} == {"1111aaaa", "2222cccc"}
    assert only("demo/train") == "1111aaaa"
    assert [one.fingerprint for one in results_named("demo/train").others] == ["1111bbbb"]


def test_a_folder_of_another_storage(here: Path, tmp_path: Path) -> None:
    elsewhere = stored(tmp_path / "elsewhere", "far/train", "4444eeee")
    result, inventory = result_named(str(elsewhere))
    assert (result.fingerprint, inventory.root) == ("4444eeee", tmp_path / "elsewhere")
    assert only(str(elsewhere)) == "4444eeee"
    assert result_named("far", tmp_path / "elsewhere")[0].fingerprint == "4444eeee"


def test_runs_of_invocations_and_trials_lead_to_results(here: Path) -> None:
    with closing(sqlite3.connect(here / "mlflow.db")) as database:
        database.execute("CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT)")
        rows = [(RUN, "mlflow.parentRunId", INVOCATION), (TRIAL, "mlflow.parentRunId", RUN)]
        database.executemany("INSERT INTO tags VALUES (?, ?, ?)", rows)
        database.commit()
    assert only(INVOCATION) == only(TRIAL) == "1111bbbb"
    (here / "mlflow.db").write_text("no database")
    with pytest.raises(UsageError, match=f"no result is called {TRIAL}"):
        results_named(TRIAL)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1111", r"1111 is the beginning of several: 1111aaaa \(demo/train\), 1111bbbb \(demo/train\); write more of it"),
        ("dmo", "no result is called dmo; did you mean 'demo'"),
        ("demo/tests", "no result is called demo/tests; did you mean 'demo/test'"),
        ("test", "test is a stage; write demo/test or other/test"),
        ("zzz", "no result is called zzz; known: demo, other, demo/train, demo/test, other/test .*expected an experiment"),
        ("specc.yaml", "specc.yaml does not exist; did you mean 'spec.yaml'"),
        ("11", "no result is called 11"),
        ("../x", "no result is called ../x"),
    ],
)
def test_what_is_suggested(here: Path, name: str, message: str) -> None:
    Path("spec.yaml").write_text("name: a\n")
    with pytest.raises(UsageError, match=message):
        results_named(name)


def test_several_results_or_no_storage(here: Path) -> None:
    with pytest.raises(UsageError, match="demo has several results; name one of them: demo/train, demo/test"):
        result_named("demo")
    with pytest.raises(UsageError, match="nowhere holds no results; name another folder with --storage"):
        results_named("demo", Path("nowhere"))


def test_a_spec_means_what_its_run_would_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    finish(plan("stages.retrieval.epochs=3"))
    made = plan()
    named = results_named("spec.yaml")
    assert named.experiment == "demo"
    assert named.results.keys() == {"corpus", "made-frames", "own-frames", "pretrain", "captions"}
    assert named.absent.keys() == {"retrieval", "test"}
    assert "epochs 3 -> 2" in named.absent["retrieval"]
    assert {one.fingerprint for one in named.results.values()} == {
        step.fingerprint for step in made.steps if step.action == "skip"
    }
    assert results_named("spec.yaml", tmp_path / "empty").results == {}
