"""What is recorded of training: means of losses and rates, and the speed."""

import time

import torch
from torch import Tensor

from cosa.training.losses import StepLosses

LogRecord = dict[str, float]


class Meter:
    """Means since the last record, kept on the device: reading a loss waits for the device, so it is done rarely."""

    def __init__(self, device: torch.device):
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Forget all, and start the clock."""
        self.sums: dict[str, Tensor] = {}
        self.finite: dict[str, Tensor] = {}  # steps in which a value was finite
        self.steps: dict[str, int] = {}  # steps that had it
        self.samples, self.waiting = 0, 0.0
        self.started = self.mark = time.perf_counter()

    def waited(self) -> None:
        """Count the time since the last step as waiting for data."""
        self.waiting += time.perf_counter() - self.mark

    def add(self, values: dict[str, Tensor], samples: int) -> None:
        """Take in the scalars of a step, and how many samples of all workers it trained on."""
        for name, value in values.items():
            finite = value.isfinite()
            zero = torch.zeros((), device=value.device)
            self.sums[name] = self.sums.get(name, zero) + torch.where(finite, value.float(), zero)
            self.finite[name] = self.finite.get(name, zero) + finite
            self.steps[name] = self.steps.get(name, 0) + 1
        self.samples += samples
        self.mark = time.perf_counter()

    def record(self) -> tuple[LogRecord, list[str]]:
        """Means of what was finite, NaN if nothing was; and the losses that were not always finite."""
        means = {name: float(total / self.finite[name]) for name, total in self.sums.items()}
        bad = [name for name, steps in StepLosses.only_losses(self.steps).items() if self.finite[name] < steps]
        seconds = max(time.perf_counter() - self.started, 1e-9)
        means["samples_per_second"] = self.samples / seconds
        means["data_wait_share"] = self.waiting / seconds
        self.restart()
        return means, bad
