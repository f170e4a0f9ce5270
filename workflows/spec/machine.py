"""Says what this machine has, as far as files tell it: the plan asks neither Ray nor torch."""

from __future__ import annotations

import os
from pathlib import Path

# Drivers make these: NVIDIA's on Linux and in WSL, and AMD's.
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/nvidia0"), Path("/dev/dxg"), Path("/dev/kfd"))
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: "QUOTA PERIOD", or "max PERIOD"


def may_have_gpus() -> bool:
    """Return whether the machine has something that may be a GPU; False is certain."""
    return any(path.exists() for path in GPU_DEVICES)


def cores() -> int:
    """Return the number of cores that Ray finds."""
    count = os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
        return min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # There is no limit.
        return count
