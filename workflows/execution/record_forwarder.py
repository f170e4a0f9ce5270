"""Forwards records of a training from its progress file to the live line and to MLflow."""

from __future__ import annotations

import time
from typing import Any

from workflows.execution.context import StageContext
from workflows.execution.progress import MEAN_LOSS, Follower, Record


class RecordForwarder:
    """Sends records of a training to the live line and to MLflow.

    Of earlier invocations nothing is shown, but their metrics are sent again, because MLflow stores equal points once.
    trial: the name of a trial; None without a sweep. Of several trials whoever follows them all shows how far they are.
    run: that of the trial in MLflow; None for that of the stage.
    """

    def __init__(self, context: StageContext[Any], trial: str | None = None, run: Any = None):
        self.context, self.run, self.trial = context, run or context.run, trial
        self.name = context.step.name if trial is None else f"trial {trial} of {context.step.name}"
        self.latest: Record | None = None
        self.latest_step: Record | None = None  # of training, in this invocation
        self.since = time.time()  # Earlier invocations reported older warnings.

    def all(self, follower: Follower) -> None:
        """Forward the new records of a file."""
        for record in follower.new():
            self(record)

    def __call__(self, record: Record) -> None:
        """Forward one record."""
        is_new = record.seconds >= self.since
        if record.kind == "warning":
            if not is_new:
                return
            self.context.run.tracker.reporter.warn(f"{self.name}: {record.text}")
            return
        if record.kind == "system":
            self.run.metrics({f"system/{name}": value for name, value in record.values.items()}, record.step, record.seconds)
            return
        self.latest = record
        if record.kind == "evaluation":
            values = {
                f"{'train' if name == MEAN_LOSS.name else 'validation'}/{name}": value for name, value in record.values.items()
            }
        else:
            values = {f"train/{name}": value for name, value in record.values.items()}
        if values:
            self.run.metrics(values, record.step, record.seconds)
        if is_new and record.kind == "train":
            self.latest_step = record
        if is_new and self.trial is None:
            figures = record.values if record.kind == "train" else self.context.line.figures
            self.context.line.update("step", record.step, record.total, figures)
