"""Which trials of an earlier sweep are those of a later one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.workflows.planning.planned import lay_out, plan
from workflows.execution.earlier_trials import identify
from workflows.execution.trials import Trial


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
