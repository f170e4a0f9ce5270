"""Who is told of the end of a run: a command, or an address."""

from __future__ import annotations

import shlex


def is_address(told: str) -> bool:
    """Return whether it is an address, and no command."""
    return told.startswith(("http://", "https://"))


def checked_notice(told: str | None) -> str | None:
    """Return who is told.

    Raises:
        ValueError: it is neither a command nor an address.
    """
    if told is None or is_address(told):
        return told
    try:
        words = shlex.split(told)
    except ValueError as error:
        raise ValueError(f"no command: {error}; quote its words as in a shell") from error
    if not words:
        raise ValueError("expected a command or an address, such as https://...")
    return told
