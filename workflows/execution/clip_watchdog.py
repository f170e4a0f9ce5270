"""Watches how long Ray tasks work on single clips, because a decoder may never return.

A task writes down the clip that it begins, in a file of its own; the driver looks at these files. Only the driver's clock
counts, and a task whose process hangs in native code is noticed like any other.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

NOTES_FOLDER = "decoding"


def note_clip(folder: Path, task: int, video_id: str) -> None:
    """Write down, in a worker, which clip a task begins."""
    (folder / str(task)).write_text(video_id, encoding="utf-8")


def forget_task(folder: Path, task: int) -> None:
    """Remove the note of a task that has ended."""
    (folder / str(task)).unlink(missing_ok=True)


class ClipWatchdog:
    """The driver's view of the clips that are being decoded. seconds: how long one may take."""

    def __init__(self, work: Path, seconds: float):
        self.folder = work / NOTES_FOLDER
        self.seconds = seconds
        self._begun: dict[int, tuple[str, float]] = {}
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def look(self) -> None:
        """Read the notes; call it several times a second."""
        now = time.monotonic()
        noted = {int(path.name): _text(path) for path in self.folder.iterdir()}
        for task, video_id in noted.items():
            if video_id and self._begun.get(task, ("",))[0] != video_id:
                self._begun[task] = (video_id, now)
        self._begun = {task: begun for task, begun in self._begun.items() if task in noted}

    def overdue(self) -> dict[int, str]:
        """Return by task the clips that take too long."""
        now = time.monotonic()
        return {task: video_id for task, (video_id, since) in self._begun.items() if now - since > self.seconds}

    def slowest(self, seconds: float) -> str | None:
        """Return the clip that is being decoded for the longest time, if that is more than some seconds."""
        if not self._begun:
            return None
        video_id, since = min(self._begun.values(), key=lambda begun: begun[1])
        return video_id if time.monotonic() - since > seconds else None

    def noted(self, task: int) -> str | None:
        """Return the clip that a task has begun, also if its process has died since; None if it had begun none."""
        return _text(self.folder / str(task)) or None

    def forget(self, task: int) -> None:
        """Stop watching a task."""
        self._begun.pop(task, None)
        forget_task(self.folder, task)

    def close(self) -> None:
        """Remove the notes, which are no part of the result."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _text(path: Path) -> str:
    with suppress(OSError):  # The task has just ended.
        return path.read_text(encoding="utf-8")
    return ""
