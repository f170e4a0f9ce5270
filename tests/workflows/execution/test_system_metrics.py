"""The machine is measured now and then, not at every step."""

import pytest
import torch

from workflows.execution import system_metrics
from workflows.execution.system_metrics import SystemMonitor


def test_a_sample_has_percent_and_megabytes() -> None:
    sample = SystemMonitor(torch.device("cpu")).sample()
    assert sample is not None
    assert 0 <= sample["cpu_utilization_percentage"] <= 100
    assert 0 < sample["system_memory_usage_percentage"] < 100
    assert 0 < sample["worker_0_memory_usage_megabytes"] < sample["system_memory_usage_megabytes"] + 1e5
    assert not any(name.startswith("gpu") for name in sample)


def test_samples_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(system_metrics.time, "monotonic", lambda: now[0])
    monitor = SystemMonitor(torch.device("cpu"))
    assert monitor.sample() is not None
    now[0] += system_metrics.INTERVAL_SECONDS - 1
    assert monitor.sample() is None
    now[0] += 1
    assert monitor.sample() is not None


def test_a_driver_that_does_not_answer_ends_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML says so of parts of a GPU, by an error of a class of its own."""
    asked = []

    class NotSupported(Exception):  # noqa: N818 -- NVML's errors are named like this.
        pass

    def utilization(_: object) -> int:
        asked.append(1)
        raise NotSupported

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3e9, 4e9))
    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    monkeypatch.setattr(system_metrics, "INTERVAL_SECONDS", 0.0)
    monitor = SystemMonitor(torch.device("cuda"))
    for _ in range(2):
        sample = monitor.sample()
        assert sample is not None
        assert sample["gpu_0_memory_usage_megabytes"] == 1000
        assert sample["gpu_0_memory_usage_percentage"] == 25
        assert "gpu_0_utilization_percentage" not in sample
    assert len(asked) == 1
