"""Checks what is notified of the end of a run: a command, or an address."""

from __future__ import annotations

import shlex


def is_address(target: str) -> bool:
    """Return whether it is an address, and no command."""
    return target.startswith(("http://", "https://"))


def checked_notice(target: str | None) -> str | None:
    """Return what is notified.

    Raises:
        ValueError: it is neither a command nor an address.
    """
    if target is None or is_address(target):
        return target
    try:
        words = shlex.split(target)
    except ValueError as error:
        raise ValueError(f"no command: {error}; quote its words as in a shell") from error
    if not words:
        raise ValueError("expected a command or an address, such as https://...")
    return target
