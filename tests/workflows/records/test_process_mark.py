"""Whether a process that is named in a file still lives."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from workflows.records.process_mark import ProcessMark


def test_this_process_lives() -> None:
    assert not ProcessMark.own().is_dead
    assert ProcessMark.read(str(ProcessMark.own())) == ProcessMark.own()


def test_a_process_that_was_killed_is_dead() -> None:
    code = "from workflows.records.process_mark import ProcessMark; print(ProcessMark.own(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        mark = ProcessMark.read(other.stdout.readline().strip())
        assert mark is not None
        assert (mark.pid, mark.is_dead) == (other.pid, False)
        other.kill()
        other.wait()
    assert mark.is_dead


@pytest.mark.parametrize(
    ("change", "is_dead"),
    [
        ({"started": 1e9}, True),  # Its number was given to another process.
        ({"started": ProcessMark.own().started + 1}, False),  # The clock was set.
        ({"place": "another-machine", "started": 1e9}, False),
        ({"place": ProcessMark.own().place + "1", "started": 1e9}, False),  # another container of this machine
    ],
)
def test_what_can_be_known(change: dict[str, object], is_dead: bool) -> None:
    assert replace(ProcessMark.own(), **change).is_dead is is_dead  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "a", "host 12", "host twelve 1.0", "host 12 early"])
def test_what_is_no_mark(text: str) -> None:
    assert ProcessMark.read(text) is None


def test_hosts_may_have_any_name() -> None:
    mark = ProcessMark("a b/pid:[1]", os.getpid(), 2.5)
    assert ProcessMark.read(str(mark)) == mark
