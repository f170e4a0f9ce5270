"""A run protects its results against `cosa clean`, and notes which ones it used."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import fingerprints, finish, lay_out, plan
from workflows import runner
from workflows.execution.using_results import note_results, using_results
from workflows.results.current import Current
from workflows.results.uses import cleaning, used_by_runs
from workflows.terminal.console import PlainConsole
from workflows.terminal.reporter import Reporter


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def test_all_results_of_the_plan_are_in_use_also_those_that_are_yet_to_be_made(here: Path) -> None:
    finish(plan(), "corpus")
    made = plan()
    with using_results(made, Reporter()), cleaning(Path("storage")):
        assert used_by_runs(Path("storage")).keys() == {*fingerprints(made).values()}
    with cleaning(Path("storage")):
        assert used_by_runs(Path("storage")) == {}


def test_a_result_that_was_removed_since_the_plan_ends_the_run_at_once(here: Path) -> None:
    finish(plan())
    made = plan("stages.test.rerank=2")
    shutil.rmtree(made.result_of("retrieval"))
    with (
        pytest.raises(UserError, match="the result of retrieval was removed since the plan was made; run the same command"),
        using_results(made, Reporter()),
    ):
        pass


def test_a_run_with_nothing_to_do_makes_its_results_the_current_ones(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(plan())
    finish(plan("stages.retrieval.epochs=3"))
    note_results(plan("stages.retrieval.epochs=3"))
    monkeypatch.setattr(runner, "address_lines", lambda *_: [])
    options: Any = runner.RunOptions()
    before = plan()
    runner.run_experiment(before.experiment, Reporter(PlainConsole(quiet=True)), options)
    assert {stage: found[0] for stage, found in Current.read(Path("storage/demo")).results.items()} == fingerprints(before)
