"""Shows why workers of a training ended when Ray starts them again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.train import UserCallback

from cosa.errors import last_line
from workflows.execution.progress import ProgressWriter
from workflows.execution.worker_loss import memory_kills, why_lost
from workflows.execution.workers import MISTAKE_FILE


class RestartNotices(UserCallback):
    """Writes why workers ended into the progress file of a training, which the driver follows.

    folder: of the training.
    restarts: how often Ray starts the workers again. The failure after these ends the training, and says so itself.
    """

    def __init__(self, folder: Path, restarts: int):
        self.folder, self.left, self.kills = folder, restarts, memory_kills()

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:  # noqa: ARG002 - Ray gives it.
        """Report that workers have ended, by rank."""
        self.left -= 1
        if self.left < 0 or (self.folder / MISTAKE_FILE).is_file():  # After a mistake they return at once.
            return
        error = worker_exceptions[min(worker_exceptions)]
        reason = why_lost(error, self.folder, self.kills) or f"a worker failed with {type(error).__name__}: {last_line(error)}"
        with suppress(OSError):  # A full disk may not take it.
            ProgressWriter(self.folder, 0).warn(f"{reason}. The workers start again from their latest checkpoint")
