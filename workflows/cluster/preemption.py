"""Ctrl-C, and SIGTERM, which schedulers send before they take a machine away: training saves where it is, and ends.

The exit code after SIGTERM is 75, by which schedulers know to start it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

EXIT_CODE = 75  # EX_TEMPFAIL: schedulers start such a job again
GRACE_SECONDS = 60.0  # for saving; if the machine is gone before, the checkpoint before that one serves
STOP_FILE = "stop"  # in the folder of a training: its workers look for it at every record


class Preempted(KeyboardInterrupt):
    """The process was asked to end. It passes all that Ctrl-C passes."""

    exit_code = EXIT_CODE


def saving(names: Sequence[str], log_every: int) -> str:
    """Say what ends after the first Ctrl-C, and when: workers look for the request when they write a record.

    names: of what is running. log_every: steps from record to record.
    """
    if not names:
        return "Ray ends"
    when = "after the step that is running" if log_every == 1 else f"at the next record (there is one every {log_every} steps)"
    verbs = "save and end" if len(names) > 1 else "saves and ends"
    return f"{', '.join(names)} {verbs} {when}, then Ray ends (Ctrl-C once more: without saving)"


def ask_to_stop(folder: Path) -> None:
    """Ask the workers of a training to save and end."""
    (folder / STOP_FILE).touch()


def is_asked_to_stop(folder: Path) -> bool:
    """Whether they were asked."""
    return (folder / STOP_FILE).exists()


def forget(folder: Path) -> None:
    """Forget an earlier request, before a training resumes."""
    (folder / STOP_FILE).unlink(missing_ok=True)
