"""Says who used the memory of a machine, from what Ray's memory monitor writes when it kills workers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

_USED = re.compile(r"was ([\d.]+)GB used / ([\d.]+)GB limit")
_OF_WORKER = re.compile(r"\bpid=(\d+), actual memory used=([\d.]+)GB")
_OF_PROCESS = re.compile(r"^(\d+)\t([\d.]+)\t(.+)$", re.MULTILINE)
_OF_RAY = "ray::"  # how the commands of Ray's workers begin


@dataclass(frozen=True)
class MemoryUse:
    """How much memory of a machine was used, in GB. workers: by those of this run. largest: by another process, `by`."""

    used: float
    limit: float
    workers: float
    largest: float
    by: str

    @classmethod
    def read(cls, text: str) -> MemoryUse | None:
        """Return what the monitor has written; None if it says nothing of it."""
        found = _USED.search(text)
        workers = dict(_OF_WORKER.findall(text))
        if found is None or not workers:
            return None
        others = [
            (float(gigabytes), f"{_short(command)} (process {pid})")
            for pid, gigabytes, command in _OF_PROCESS.findall(text)
            if pid not in workers and not command.startswith(_OF_RAY)
        ]
        return cls(float(found[1]), float(found[2]), sum(map(float, workers.values())), *max(others, default=(0.0, "")))

    @property
    def is_by_others(self) -> bool:
        """Return whether smaller batches would not have helped: the workers had less than half of what was used."""
        return self.workers < self.used / 2

    def __str__(self) -> str:
        most = f", and {self.largest:.1f} GB by {self.by}" if self.largest > self.workers else ""
        return f"{self.used:.1f} of {self.limit:.1f} GB were used, {self.workers:.1f} GB of it by this run's workers{most}"


def _short(command: str) -> str:
    """Return the beginning of a command: the program's name, and the script that it was given, if that comes first."""
    program, *words = command.split()
    script = [word for word in words[:1] if not word.startswith("-")]
    return " ".join([PurePath(program).name, *script])
