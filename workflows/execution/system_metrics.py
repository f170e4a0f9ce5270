"""Measures the machine of a worker while it trains: processor, memory, and its GPU, by the names that MLflow's page expects."""

from __future__ import annotations

import time

import psutil
import torch

INTERVAL_SECONDS = 10.0
MEGABYTE = 1e6  # bytes, as in MLflow's own metrics


class SystemMonitor:
    """Takes a sample now and then. device: the worker trains on it."""

    def __init__(self, device: torch.device):
        self.device, self.process, self._has_nvml = device, psutil.Process(), True
        self._last = float("-inf")
        psutil.cpu_percent()  # The first call begins what the next one measures.

    def sample(self) -> dict[str, float] | None:
        """Return metrics without the prefix `system/`; None while the previous sample is younger than INTERVAL_SECONDS."""
        now = time.monotonic()
        if now - self._last < INTERVAL_SECONDS:
            return None
        self._last = now
        memory = psutil.virtual_memory()
        return {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system_memory_usage_percentage": memory.percent,
            "worker_0_memory_usage_megabytes": self.process.memory_info().rss / MEGABYTE,
            **self._gpu(),
        }

    def _gpu(self) -> dict[str, float]:
        """Return the metrics of the worker's GPU; its utilization is NVML's, which needs the package nvidia-ml-py."""
        if self.device.type != "cuda":
            return {}
        free, total = torch.cuda.mem_get_info(self.device)
        found = {
            "gpu_0_memory_usage_megabytes": (total - free) / MEGABYTE,
            "gpu_0_memory_usage_percentage": 100 * (total - free) / total,
        }
        if self._has_nvml:
            try:
                found["gpu_0_utilization_percentage"] = float(torch.cuda.utilization(self.device))
            except Exception:  # NVML's own errors share no class but this, and none is a reason to end a training.
                self._has_nvml = False
        return found
