"""Locks of results: one holder, readers, dead holders here and on other machines."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workflows.results import locks
from workflows.results.locks import UNKNOWN, HeldError, Holder, exclusive, holder_of, patiently, shared

HOLD = """
import sys, time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from workflows.results.locks import exclusive
with exclusive(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "stage"


@pytest.fixture
def other(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_holder_at_a_time(path: Path) -> None:
    assert holder_of(path) is None
    assert not path.exists()  # asking leaves nothing behind
    with exclusive(path, "the result") as dead:
        assert dead is None
        holder = holder_of(path)
        assert holder is not None
        assert (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
        for lock in (exclusive, shared):
            with (
                pytest.raises(HeldError, match=f"the result is in use by process {os.getpid()}"),
                lock(path, "the result"),
            ):
                pass
    assert holder_of(path) is None
    with exclusive(path, "the result") as dead:
        assert dead is None


def test_readers_share_and_keep_writers_away(path: Path) -> None:
    with shared(path, "it"), shared(path, "it"):
        assert holder_of(path) is None
        with pytest.raises(HeldError, match="it is in use by another run"), exclusive(path, "it"):
            pass
    with exclusive(path, "it"):
        pass


def test_a_killed_holder_is_taken_over_from(path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(HeldError, match=f"process {other.pid}"), exclusive(path, "it"):
        pass
    other.kill()
    other.wait()
    assert holder_of(path) is None
    with exclusive(path, "it") as dead:
        assert dead is not None
        assert dead.pid == other.pid


@pytest.mark.parametrize("alive", [True, False])
def test_a_holder_on_another_machine_is_watched(path: Path, monkeypatch: pytest.MonkeyPatch, alive: bool) -> None:
    """As on a file system whose locks do not reach that machine: only its touching of the file shows that it lives."""
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.05)
    path.parent.mkdir()
    path.write_text(json.dumps({"pid": 7, "host": "elsewhere", "since": "yesterday"}))
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.02):
            os.utime(path)

    thread = threading.Thread(target=beat)
    if alive:
        thread.start()
    try:
        if alive:
            with pytest.raises(HeldError, match="process 7 on elsewhere"), exclusive(path, "it"):
                pass
        else:
            with exclusive(path, "it") as dead:
                assert dead == Holder(7, "elsewhere", "yesterday")
    finally:
        ended.set()
        if alive:
            thread.join()


def test_a_holder_touches_its_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.02)
    with exclusive(path, "it"):
        before = path.stat().st_mtime_ns
        deadline = time.monotonic() + 5
        while path.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_same_run_is_waited_for_once_though_it_reads_what_it_has_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.0)
    writer, next_one = Holder(7, "here", "now"), Holder(8, "here", "now")
    held = [UNKNOWN, writer, writer, UNKNOWN, next_one, UNKNOWN]
    reported: list[str] = []

    @contextmanager
    def lock() -> Iterator[None]:
        if held:
            raise HeldError("it", held.pop(0))
        yield

    with patiently(lock, reported.append):
        pass
    assert reported == ["another run", str(writer), str(next_one)]
