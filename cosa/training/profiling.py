"""Profiles some steps of a training with torch.profiler: a trace for a browser, and a table of what costs most.

Recording slows these steps down by some percent, so that a speed that is measured meanwhile is too low; what is computed
stays the same.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch.profiler import ProfilerActivity, profile, schedule

TRACE, COSTS = "trace.json.gz", "costs.tsv"
LARGEST = 10  # costs in the table
_WAIT, _WARM_UP, _RECORDED = 3, 1, 5  # steps


class StepProfiler:
    """A context in which steps are profiled, some soon after its beginning; `step` ends each.

    folder: gets `trace.json.gz` (chrome://tracing, ui.perfetto.dev) and `costs.tsv`. left: how many steps there will be;
    nothing is written if there are fewer than two, since the first one is always slow.
    """

    def __init__(self, folder: Path, device: torch.device, left: int) -> None:
        self._folder, self._on_device = folder, device.type == "cuda"
        recorded = min(_RECORDED, max(0, left - _WARM_UP))
        wait = min(_WAIT, left - _WARM_UP - recorded)
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._on_device else [])]
        self._recorded = recorded
        self._profile = None
        if recorded:
            steps: Callable[[int], Any] = schedule(wait=wait, warmup=_WARM_UP, active=recorded, repeat=1)
            self._profile = profile(activities=activities, schedule=steps, on_trace_ready=self._write, record_shapes=False)

    def __enter__(self) -> Self:
        if self._profile is not None:
            self._profile.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._profile is not None:
            self._profile.stop()

    def step(self) -> None:
        """End a step."""
        if self._profile is not None:
            self._profile.step()

    def _write(self, found: Any) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(self._folder / TRACE))
        time = (lambda one: one.self_device_time_total) if self._on_device else (lambda one: one.self_cpu_time_total)
        costs = [one for one in found.key_averages() if not one.key.startswith("ProfilerStep")]
        total = sum(map(time, costs)) or 1.0  # microseconds, as all of these
        with (self._folder / COSTS).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, delimiter="\t", lineterminator="\n")
            where = "GPU" if self._on_device else "CPU"
            rows.writerow(["operation", "calls a step", f"{where} ms a step", "share"])
            for one in sorted(costs, key=time, reverse=True)[:LARGEST]:
                calls, milliseconds = one.count / self._recorded, time(one) / 1000 / self._recorded
                rows.writerow([one.key, f"{calls:.1f}", f"{milliseconds:.3f}", f"{time(one) / total:.3f}"])
