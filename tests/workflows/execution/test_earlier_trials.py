"""Which trials of an earlier sweep are those of a later one."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan, publish
from workflows.execution.earlier_trials import identify
from workflows.execution.trials import Trial, TrialBook
from workflows.planning.step import Step
from workflows.results.layout import TRIALS_FOLDER, TRIALS_TABLE


@pytest.fixture(autouse=True)
def _spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)


def identity(*overrides: str, **parameters: Any) -> str:
    """The identity of a trial of the stage retrieval."""
    made = plan(*overrides)
    step = next(step for step in made.steps if step.name == "retrieval")
    trial = Trial("it", parameters)
    context: Any = SimpleNamespace(plan=made, step=step, section=step.section)
    identify(context, [trial])
    return trial.identity


def test_what_follows_from_a_value_of_a_trial_is_the_same_written_or_not() -> None:
    written = identity("stages.retrieval.vision_learning_rate=1e-4", learning_rate=1e-4)
    assert written == identity(learning_rate=1e-4) != identity(learning_rate=1e-3)
    assert written != identity("stages.retrieval.vision_learning_rate=1e-4", learning_rate=1e-3)


def test_a_trial_is_told_apart_by_constants_of_its_own_objectives() -> None:
    """The stage without its sweep trains by self-criticism, and masks nothing."""
    stage = ("stages.retrieval.task=captioning", "stages.retrieval.self_critical=true")
    swept = (*stage, "stages.retrieval.sweep={self_critical: [true, false]}")
    masking = (*swept, "stages.retrieval.captioning_probability=0.5")
    assert identity(*swept, self_critical=False) != identity(*masking, self_critical=False)
    assert identity(*swept, self_critical=True) == identity(*masking, self_critical=True)


def swept(values: str) -> Step:
    """What is planned for a sweep over learning rates."""
    return next(step for step in plan(f"stages.retrieval.sweep.learning_rate={values}").steps if step.name == "retrieval")


def test_the_plan_counts_trials_that_exist() -> None:
    made = plan()
    finish(made, *(step.name for step in made.steps if step.name not in ("retrieval", "test")))
    step = next(step for step in made.steps if step.name == "retrieval")
    folder = made.storage.partial("retrieval", str(step.fingerprint))
    book = TrialBook(folder / TRIALS_FOLDER)
    for rate in (1e-4, 1e-3):
        trial = book.add({"learning_rate": rate})
        trial.identity = identity(learning_rate=rate)
        book.set(trial, "finished")
    (folder / TRIALS_TABLE).write_text(json.dumps([{"trial": trial.name, "step": 4} for trial in reversed(book.trials)]))
    publish(made, step)
    assert swept("[1e-3, 1e-4]").action == "skip", "the order decides nothing"
    assert (swept("[1e-3, 1e-4, 1e-5]").action, swept("[1e-3, 1e-4, 1e-5]").reuses) == ("run", "2 of 3 trials exist")
    assert swept("[1e-3]").reuses == "1 of 1 trial exists"
    assert swept("[1e-4, 1e-5]").reuses == "", "only the checkpoint of the best one, 1e-3, exists"
