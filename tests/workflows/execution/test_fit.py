"""What Ray Train is asked for. No Ray is started."""

import os
from pathlib import Path

import pytest

from cosa.errors import DataError
from workflows.cluster.ray_cluster import WorkerResources
from workflows.execution.fit import MAX_RESTARTS, MAX_RESTARTS_ELASTIC, trainer_of, user_error_in

ROOM = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"


@pytest.mark.parametrize(("minimum", "restarts", "room"), [(None, MAX_RESTARTS, 120), (1, MAX_RESTARTS_ELASTIC, 15)])
def test_a_changing_number_of_workers_outlives_many_losses_and_waits_for_none_of_them_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimum: int | None, restarts: int, room: int
) -> None:
    """Ray counts each loss twice: workers that died, and a group that found no room on the machine that is gone."""
    monkeypatch.setenv(ROOM, "1")
    trainer = trainer_of(print, {}, WorkerResources(2, 1, 0, minimum), name="a", storage=tmp_path)
    assert trainer.scaling_config.num_workers == (2 if minimum is None else (1, 2))
    failures = trainer.run_config.failure_config
    assert (failures.max_failures, failures.controller_failure_limit) == (restarts, restarts)
    assert int(os.environ[ROOM]) == room


def test_a_mistake_in_a_task_is_reported_by_its_own_text() -> None:
    """What Ray raises is a mistake, too, whose text is the traceback of the worker."""
    from ray.exceptions import RayTaskError

    mistake = DataError("a.jpg is not a readable picture")
    raised = RayTaskError("evaluate", "Traceback (most recent call last): ...", mistake).as_instanceof_cause()
    assert isinstance(raised, DataError)
    assert user_error_in(raised) is mistake
    outer = RuntimeError("worker failed")
    outer.__cause__ = raised
    assert user_error_in(outer) is mistake
