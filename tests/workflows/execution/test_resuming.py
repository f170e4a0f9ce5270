"""What is said of a run that did not come to its end."""

from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, load, plan
from workflows.execution import resuming
from workflows.execution.context import DamagedInputError
from workflows.execution.resuming import ResumeCommand, Resuming
from workflows.planning.plan import make_plan
from workflows.planning.selection import Selection


@pytest.mark.parametrize(
    ("has_earlier", "how"), [(True, "with only --force retrieval --force captions"), (False, "without --force")]
)
def test_a_forced_job_is_resumed_by_a_command_that_forces_what_is_left(
    has_earlier: bool, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, monkeypatch)
    monkeypatch.setattr(resuming, "is_job", lambda: True)
    if has_earlier:
        finish(plan())
    made = plan(force=("pretrain",))
    step = next(step for step in made.steps if step.name == "retrieval")
    said = Resuming(made, ResumeCommand("the command that submitted this job"), is_forced=True).what_remains(step)
    assert said.endswith(f"\n    the command that submitted this job, {how}")


@pytest.mark.parametrize(
    ("selection", "options"),
    [
        (Selection(), ""),
        (Selection(only=("test",)), " --until test"),
        (Selection(first=("retrieval",), until=("retrieval", "test")), " --until test"),
        (Selection(until=("test",)), " --until test"),
    ],
)
def test_a_damaged_input_is_made_again_by_the_command_that_resumes(
    selection: Selection, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, monkeypatch)
    finish(plan())
    made = make_plan(load(), selection=selection)
    step = next(step for step in made.steps if step.name == "test")
    error = DamagedInputError("pretrain", "it is not what pretrain made")
    said = str(Resuming(made, ResumeCommand("cosa run", selection), is_forced=False).failure(step, error, tmp_path / "log"))
    assert said.endswith(f"resume with: cosa run{options} --force pretrain")
