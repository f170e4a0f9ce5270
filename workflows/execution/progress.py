"""Writes and reads the records of a running training: worker 0 appends JSON lines to a file, and the driver follows it.

The file is the source of truth. The driver sends its records to MLflow, so a worker never waits for MLflow, and a restarted
worker that repeats steps leaves no duplicates: only the first record of a step counts. Every checkpoint holds a copy of the
records up to it, so that a training which resumes from it has them even if the disk lost them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cosa.evaluation.metric import Metric
from workflows.results.atomic import write_atomically

PROGRESS_FILE = "progress.jsonl"
MEAN_LOSS = Metric("mean_loss", lower_is_better=True, digits=3)  # of the steps since the previous stop of training


@dataclass(frozen=True)
class Record:
    """A line of the file. kind: 'train', 'evaluation', 'system' or 'warning'. step: steps done. total: steps of the full
    training. seconds: time since the epoch. text: of a warning."""

    kind: str
    step: int
    total: int
    values: dict[str, float]
    seconds: float
    text: str = ""


class ProgressWriter:
    """Appends records, one line each, which other processes can read at once."""

    def __init__(self, folder: Path, total: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.total = folder / PROGRESS_FILE, total
        self._is_torn = True  # A worker that was killed, or a disk without power, may have left half a line.

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append a record."""
        self._append({"kind": kind, "step": step, "total": self.total, "values": dict(values), "seconds": time.time()})

    def warn(self, text: str) -> None:
        """Append a warning, which the driver shows."""
        now = time.time()
        self._append({"kind": "warning", "step": 0, "total": self.total, "values": {}, "seconds": now, "text": text})

    def content(self) -> bytes:
        """Return all records as they stand in the file."""
        return self.path.read_bytes() if self.path.exists() else b""

    def restore(self, saved: bytes) -> None:
        """Put records that a checkpoint holds back into the file, if they are not at its beginning."""
        if not self.content().startswith(saved):
            write_atomically(self.path, saved.decode())

    def _append(self, line: Mapping[str, object]) -> None:
        text = json.dumps(line) + "\n"
        if self._is_torn and self.content()[-1:] not in (b"", b"\n"):
            text = "\n" + text
        self._is_torn = False
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)


def read_records(folder: Path) -> list[Record]:
    """Read all records of a training in order, the first one of every kind and step."""
    follower = Follower(folder)
    return list(follower.new())


@dataclass
class Follower:
    """Yields each record of a growing file once."""

    folder: Path
    _position: int = 0
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def new(self) -> Iterator[Record]:
        """Yield records since the last call. A line that is still being written is left for the next call."""
        path = self.folder / PROGRESS_FILE
        if not path.exists():
            return
        if path.stat().st_size < self._position:
            self._position = 0  # The records of a checkpoint have replaced damaged ones.
        with path.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        complete = content[: content.rfind(b"\n") + 1]
        self._position += len(complete)
        for line in complete.splitlines():
            try:
                record = Record(**json.loads(line))
            except (ValueError, TypeError):
                continue  # A killed worker left a torn line; its step is repeated.
            key = (record.kind + record.text, record.step)
            if key not in self._seen:
                self._seen.add(key)
                yield record


def mean_loss(records: Sequence[Record], after: int, until: int) -> float | None:
    """Return the mean loss of the steps between two numbers of steps done; None if none was finite.

    A record stands for the steps since the previous record.
    """
    total, steps, previous = 0.0, 0, after
    for record in sorted((r for r in records if r.kind == "train" and after < r.step <= until), key=lambda r: r.step):
        if math.isfinite(record.values.get("loss", math.nan)):
            total += record.values["loss"] * (record.step - previous)
            steps += record.step - previous
        previous = record.step
    return total / steps if steps else None


def best_evaluation(records: Sequence[Record], metric: Metric | None, saved: Collection[int]) -> Record | None:
    """Return the evaluation with the best value of a metric, the latest of equal ones; the last evaluation if metric is None.

    saved: steps whose checkpoints exist. Only these count: a worker that is stopped may leave the record of an evaluation
    without its checkpoint. Ray retains the best checkpoint, the latest of equal ones, and the last.
    """
    evaluations = [record for record in records if record.kind == "evaluation" and record.step in saved]
    if metric is None:
        return max(evaluations, key=lambda record: record.step, default=None)
    sign, name = (-1 if metric.lower_is_better else 1), metric.name
    return max(evaluations, key=lambda record: (sign * record.values.get(name, -sign * math.inf), record.step), default=None)
