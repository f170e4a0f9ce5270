"""Tests of what is said when workers of a training start again."""

from pathlib import Path

from ray.exceptions import ActorDiedError

from workflows.execution.progress import read_records
from workflows.execution.restarts import RestartNotices
from workflows.execution.workers import MISTAKE_FILE


def warnings_in(folder: Path) -> list[str]:
    return [record.text for record in read_records(folder) if record.kind == "warning"]


def test_every_restart_is_told_but_not_the_end(tmp_path: Path) -> None:
    notices = RestartNotices(tmp_path, restarts=2)
    notices.after_exception(None, {1: RuntimeError("first\nlast"), 0: ActorDiedError()})
    notices.after_exception(None, {1: RuntimeError("first\nlast")})
    notices.after_exception(None, {0: ActorDiedError()})
    again = ". The workers start again from their latest checkpoint"
    killed, failed = warnings_in(tmp_path)
    assert killed.startswith("a worker was killed from outside")
    assert killed.endswith(again)
    assert failed == f"a worker failed with RuntimeError: last{again}"


def test_a_mistake_is_not_called_a_restart(tmp_path: Path) -> None:
    (tmp_path / MISTAKE_FILE).write_text("no such field")
    RestartNotices(tmp_path, restarts=2).after_exception(None, {0: RuntimeError("no such field")})
    assert warnings_in(tmp_path) == []
    assert not list(tmp_path.glob("progress*"))


def test_a_disk_that_takes_no_notice_does_not_end_the_training(tmp_path: Path) -> None:
    file = tmp_path / "folder"
    file.write_text("")
    RestartNotices(file, restarts=2).after_exception(None, {0: ActorDiedError()})
