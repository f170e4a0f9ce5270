"""Locks stage results: two runs, even on two machines, never work on one result at once, and no run removes what another run
reads.

The kernel releases a lock (flock) when its holder ends, however it ends. Machines that share a file system do not always see
each other's locks. Therefore the holder also touches the file while it lives, and a lock that was written on another machine
is watched before its holder is considered dead.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TypeVar

from cosa.errors import UserError

POLL_SECONDS = 1.0
BEAT_SECONDS = 5.0
MISSED_BEATS = 4  # A holder on another machine that misses this many is considered dead.
T = TypeVar("T")


@dataclass(frozen=True)
class Holder:
    """Who works on a result."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since})" if self.pid else "another run"


UNKNOWN = Holder(0, "", "")  # Readers leave no name.


class HeldError(UserError):
    """Another run holds the lock."""

    def __init__(self, what: str, holder: Holder):
        super().__init__(f"{what} is in use by {holder}")
        self.holder = str(holder)


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[Holder | None]:
    """Hold a lock exclusively. Yields the dead holder from which it was taken over, if there was one.

    Args:
        path: the lock's file; it remains, empty, when the lock is released.
        what: names in messages what is locked.

    Raises:
        HeldError: somebody else works on it or reads it.
        UserError: the file system has no locks.
    """
    with _locked(path, fcntl.LOCK_EX, what) as file:
        dead = _written(file)
        if dead is not None and dead.host != socket.gethostname() and _beats(path):
            raise HeldError(what, dead)
        file.truncate(0)
        me = Holder(os.getpid(), socket.gethostname(), f"{datetime.now():%Y-%m-%d %H:%M:%S}")
        file.write(json.dumps(asdict(me)))
        file.flush()
        released = threading.Event()
        beat = threading.Thread(target=_beat, args=(path, released), name="lock", daemon=True)
        beat.start()
        try:
            yield dead
        finally:
            released.set()
            beat.join()
            file.truncate(0)


@contextmanager
def shared(path: Path, what: str) -> Iterator[None]:
    """Hold a lock together with other readers, so that nobody changes what is read.

    Raises:
        HeldError: somebody works on it.
    """
    with _locked(path, fcntl.LOCK_SH, what):
        yield


@contextmanager
def patiently(lock: Callable[[], AbstractContextManager[T]], on_held: Callable[[str], None]) -> Iterator[T]:
    """Hold a lock, `exclusive` or `shared`, as soon as nobody else holds it. on_held: called with each holder that is waited
    for, but not with one without a name after another: it is the same run, which now reads what it has made."""
    with ExitStack() as held:
        reported = ""
        while True:
            try:
                found = held.enter_context(lock())
                break
            except HeldError as error:
                if error.holder not in (reported, str(UNKNOWN) if reported else reported):
                    reported = error.holder
                    on_held(reported)
                time.sleep(POLL_SECONDS)
        yield found


def holder_of(path: Path) -> Holder | None:
    """Say who holds a lock exclusively, as far as that is visible without waiting or writing; None if nobody does."""
    try:
        with path.open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _written(file) or UNKNOWN
    except OSError:  # It was never locked, or the file system has no locks.
        return None
    return None


@contextmanager
def _locked(path: Path, mode: int, what: str) -> Iterator[IO[str]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HeldError(what, _written(file) or UNKNOWN) from error
        except OSError as error:
            raise UserError(
                f"the file system of {path.parent} has no file locks ({error.strerror}); mount it with locks, or choose "
                "another folder (--storage, or --out of an index)"
            ) from error
        yield file


def _written(file: IO[str]) -> Holder | None:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None


def _beat(path: Path, released: threading.Event) -> None:
    while not released.wait(BEAT_SECONDS):
        try:
            os.utime(path)
        except OSError:
            continue  # The file system is unreachable for a while.


def _beats(path: Path) -> bool:
    """Watch whether somebody touches a file. Its modification time is compared only with itself, because clocks differ."""
    before, deadline = path.stat().st_mtime_ns, time.monotonic() + MISSED_BEATS * BEAT_SECONDS
    while time.monotonic() < deadline:
        time.sleep(BEAT_SECONDS / 5)
        if path.stat().st_mtime_ns != before:
            return True
    return False
