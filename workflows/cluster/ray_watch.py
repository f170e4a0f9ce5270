"""Watches Ray's own processes from the driver: without them Ray waits for minutes, or ends the driver without a word."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from cosa.errors import UserError
from workflows.cluster.ray_private import head_address, own_processes, session_folder

POLL_SECONDS = 0.25
FAMILY_POLLS = 4  # The list of all processes is renewed every so many polls.
REPEAT_SECONDS = 5.0  # The main thread is interrupted again if it still waits for Ray after so long.
END_SECONDS = 5.0
PROBE_SECONDS, AWAY_SECONDS = 5.0, 30.0  # A head on another machine is tried so often, and is lost when it was away so long.
SIGNAL = signal.SIGUSR2  # It interrupts whatever the main thread waits for.


class RayLostError(UserError):
    """Ray has ended before the run."""


class RayLostInterrupt(KeyboardInterrupt):
    """Is raised in the main thread when Ray has ended. Ray lets only a KeyboardInterrupt pass through its waits."""


def watch_ray(context: Any, is_waited_for: Callable[[], bool]) -> RayWatch:
    """Watch what a driver depends on. context: what `ray.init` returned. is_waited_for: whether a loss interrupts now."""
    processes = own_processes(context)
    head = None if "gcs_server" in processes else head_address(context)
    folder = session_folder(context) if processes else None
    return RayWatch(processes, folder, Unreachable(*head) if head else lambda: None, is_waited_for)


class RayWatch:
    """Looks several times a second whether Ray's processes and its folder are there; interrupts the main thread if not."""

    def __init__(
        self,
        processes: Mapping[str, psutil.Process],
        folder: Path | None,
        is_gone: Callable[[], str | None],
        is_waited_for: Callable[[], bool],
    ):
        """processes: of Ray, by their names in messages. folder: of its session. is_gone: says what else is missing.
        is_waited_for: whether the main thread waits for Ray; other work continues without it."""
        self.processes, self.folder, self.is_gone, self.is_waited_for = processes, folder, is_gone, is_waited_for
        self.family: set[psutil.Process] = set()
        self._reason: str | None = None
        self._ended = threading.Event()
        self._before = signal.signal(SIGNAL, self._interrupt)
        threading.Thread(target=self._watch, name="watch Ray", daemon=True).start()

    def reason(self) -> str | None:
        """Say why Ray can no longer be used; None if it can."""
        if self._reason is None and not self._ended.is_set():
            self._reason = self._look()
        return self._reason

    def end(self) -> None:
        """Stop watching; Ray may now end."""
        self._ended.set()
        signal.signal(SIGNAL, self._before)

    def end_family(self) -> None:
        """End what is left of Ray and its workers."""
        self._renew_family()
        for process in self.family:
            try:
                process.kill()  # psutil checks that the number was not given to another process.
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(list(self.family), timeout=END_SECONDS)

    def _watch(self) -> None:
        polls = 0
        while not self._ended.wait(POLL_SECONDS):
            if polls % FAMILY_POLLS == 0:
                self._renew_family()
            polls += 1
            if self.reason() is not None and self.is_waited_for():
                main = threading.main_thread().ident
                assert main is not None
                signal.pthread_kill(main, SIGNAL)
                # Python ignores what is raised in a destructor, and a minute later Ray would end this process without a word.
                self._ended.wait(REPEAT_SECONDS)

    def _interrupt(self, number: int, _: object) -> None:
        del number
        if self.is_waited_for():
            raise RayLostInterrupt

    def _look(self) -> str | None:
        for name, process in self.processes.items():
            if _is_dead(process):
                return f"Ray's process {name} ({process.pid}) {_how_it_ended(process)}, and Ray cannot work without it"
        if self.folder is not None and not self.folder.exists():
            return f"the folder of Ray's session was removed while it ran: {self.folder}"
        return self.is_gone()

    def _renew_family(self) -> None:
        """Remember the processes below Ray's: those of a dead parent cannot be found any more."""
        found = set(self.processes.values())
        for process in self.processes.values():
            try:
                found |= set(process.children(recursive=True))
            except psutil.NoSuchProcess:
                continue
        self.family = {process for process in self.family if process.is_running()} | found


def _how_it_ended(process: psutil.Process) -> str:
    """Say how a process ended, as far as its parent may know."""
    try:
        code = process.wait(timeout=1)
    except (psutil.Error, OSError):
        code = None
    if code is None:
        return "has ended"
    if code >= 0:
        return f"ended with exit code {code}"
    hint = " (the kernel does that when memory runs out: see dmesg)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"


def _is_dead(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Unreachable:
    """Says that nothing has answered at an address for a while, as a network may be interrupted for a moment."""

    def __init__(self, host: str, port: int):
        self.host, self.port = host, port
        self._answered = self._tried = time.monotonic()

    def __call__(self) -> str | None:
        """Try the address, if the last try was long enough ago."""
        now = time.monotonic()
        if now - self._tried < PROBE_SECONDS:
            return None
        self._tried = now
        try:
            socket.create_connection((self.host, self.port), timeout=PROBE_SECONDS).close()
        except OSError as error:
            if now - self._answered < AWAY_SECONDS:
                return None
            return f"the head of the Ray cluster has not answered at {self.host}:{self.port} for {AWAY_SECONDS:.0f} s ({error})"
        self._answered = time.monotonic()
        return None
