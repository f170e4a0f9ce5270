"""Which results runs use: between two stages, too, and not after a run was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflows.results.locks import HeldError
from workflows.results.uses import cleaning, in_use, used_by_runs

RUN = """
import sys, time
from pathlib import Path
from workflows.results.uses import in_use
with in_use(Path(sys.argv[1]), ["abc", "def"], print):
    print("begun", flush=True)
    time.sleep(60)
"""


def never(holder: str) -> None:
    raise AssertionError(holder)


def lists(root: Path) -> list[Path]:
    return list((root / ".locks").glob("run-*"))


def test_a_run_lists_its_results_until_it_ends(tmp_path: Path) -> None:
    with in_use(tmp_path, ["abc"], never), in_use(tmp_path, ["def", "abc"], never):
        with cleaning(tmp_path):
            found = used_by_runs(tmp_path)
        assert found.keys() == {"abc", "def"}
        assert f"process {os.getpid()}" in found["def"]
    assert lists(tmp_path) == []
    with cleaning(tmp_path):
        assert used_by_runs(tmp_path) == {}


def test_one_that_was_killed_uses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "begun\n"
    with cleaning(tmp_path):
        assert used_by_runs(tmp_path).keys() == {"abc", "def"}
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert len(lists(tmp_path)) == 2
    with cleaning(tmp_path):
        assert used_by_runs(tmp_path) == {}
    assert lists(tmp_path) == []


def test_no_run_begins_while_results_are_removed(tmp_path: Path) -> None:
    waited: list[str] = []
    with cleaning(tmp_path), pytest.raises(HeldError), cleaning(tmp_path):
        pass
    held = cleaning(tmp_path)
    held.__enter__()

    def release(holder: str) -> None:
        waited.append(holder)
        held.__exit__(None, None, None)

    begun = time.monotonic()
    with in_use(tmp_path, ["abc"], release):
        assert len(waited) == 1
    assert time.monotonic() - begun < 30
