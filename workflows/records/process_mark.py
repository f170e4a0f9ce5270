"""Names a process in such a way that another one can say later whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

CLOCK_SECONDS = 2.0  # The start of a process is computed from the clock, which may be set meanwhile.


@dataclass(frozen=True)
class ProcessMark:
    """A process. place: its machine and what counts the numbers of processes there. started: seconds since the epoch."""

    place: str
    pid: int
    started: float

    @classmethod
    def own(cls) -> ProcessMark:
        """Return that of this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """Return that of a process of this machine that lives."""
        return cls(_place(), pid, round(psutil.Process(pid).create_time(), 2))

    @classmethod
    def read(cls, text: str) -> ProcessMark | None:
        """Return what `str` made; None if it was something else."""
        place, _, rest = text.rpartition(" ")
        host, _, pid = place.rpartition(" ")
        try:
            return cls(host, int(pid), float(rest))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.place} {self.pid} {self.started}"

    @property
    def is_dead(self) -> bool:
        """Return whether it has surely ended. Processes of other machines and containers cannot be seen, and count as alive."""
        if self.place != _place():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) > CLOCK_SECONDS
        except psutil.NoSuchProcess:
            return True

    @property
    def is_alive_here(self) -> bool:
        """Return whether it lives on this machine, and in this container."""
        return self.place == _place() and not self.is_dead


def _place() -> str:
    try:
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # Only Linux has them.
        return socket.gethostname()
