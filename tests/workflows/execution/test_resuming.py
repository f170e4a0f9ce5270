"""What is said of a run that did not come to its end."""

from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.execution import resuming
from workflows.execution.resuming import Resuming


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
    said = Resuming(made, "the command that submitted this job", is_forced=True).what_remains(step)
    assert said.endswith(f"\n    the command that submitted this job, {how}")
