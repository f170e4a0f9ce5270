"""Says what a signal does to a command."""

from __future__ import annotations

import signal


def clean_up_after_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from here on. Commands that only read need no cleaning up, and simply end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
