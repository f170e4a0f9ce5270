"""Ctrl-C, and SIGTERM, which schedulers send before they take a machine away: training saves where it is, and ends.

The exit code after SIGTERM is 75, by which schedulers know to start it again.
"""

from __future__ import annotations

from pathlib import Path

EXIT_CODE = 75  # EX_TEMPFAIL: schedulers start such a job again
GRACE_SECONDS = 60.0  # for saving; if the machine is gone before, the checkpoint before that one serves
SAVING = "saves what is done, and ends (Ctrl-C once more: without saving)"
STOP_FILE = "stop"  # in the folder of a training: its workers look for it at every record


class Preempted(KeyboardInterrupt):
    """The process was asked to end. It passes all that Ctrl-C passes."""

    exit_code = EXIT_CODE


def ask_to_stop(folder: Path) -> None:
    """Ask the workers of a training to save and end."""
    (folder / STOP_FILE).touch()


def is_asked_to_stop(folder: Path) -> bool:
    """Whether they were asked."""
    return (folder / STOP_FILE).exists()


def forget(folder: Path) -> None:
    """Forget an earlier request, before a training resumes."""
    (folder / STOP_FILE).unlink(missing_ok=True)
