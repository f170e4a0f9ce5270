"""Says what this machine has, as far as files tell it: the plan asks neither Ray nor torch."""

from __future__ import annotations

import os
from pathlib import Path

# NVIDIA's driver lists its GPUs in the first folder, and makes the files; a container may see only some of either.
NVIDIA_GPUS, DEVICES, NVIDIA_DEVICE = Path("/proc/driver/nvidia/gpus"), Path("/dev"), "nvidia[0-9]*"
UNCOUNTED_GPUS = (Path("/dev/dxg"), Path("/dev/kfd"))  # WSL's and AMD's drivers make these, however many GPUs there are.
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: "QUOTA PERIOD", or "max PERIOD"


def most_gpus() -> int | None:
    """Return how many GPUs the machine has at most; 0 is certain. None if only Ray can tell."""
    if any(path.exists() for path in UNCOUNTED_GPUS):
        return None
    return max(_entries(NVIDIA_GPUS, "*"), _entries(DEVICES, NVIDIA_DEVICE))


def _entries(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


def cores() -> int:
    """Return the number of cores that Ray finds."""
    count = os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
        return min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # There is no limit.
        return count
