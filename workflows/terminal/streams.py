"""Writes to standard output and standard error where one of them may be full, closed, or cut off."""

from __future__ import annotations

import errno
import os
import sys
import textwrap
from contextlib import suppress
from shutil import get_terminal_size
from typing import TextIO

from workflows.spec.secrets import Secrets
from workflows.terminal.plain_text import printable

_MEND = {errno.ENOSPC: "make room", errno.EDQUOT: "make room", errno.EFBIG: "raise the limit (ulimit -f)"}


def say(text: str) -> None:
    """Print to standard error, without secrets and control characters. Where nothing can be printed, the exit code remains."""
    try:
        shown = printable(Secrets.of_process().hide(text))
        print(wrapped(shown, get_terminal_size().columns) if sys.stderr.isatty() else shown, file=sys.stderr, flush=True)
    except OSError:
        leave_broken(sys.stderr)


def wrapped(text: str, width: int) -> str:
    """Break long lines between words. Indented lines stay as they are: they show commands, or lines of files."""
    lines = (line if line.startswith(" ") else _between_words(line, width) for line in text.split("\n"))
    return "\n".join(lines)


def _between_words(line: str, width: int) -> str:
    return textwrap.fill(
        line, width, expand_tabs=False, replace_whitespace=False, break_long_words=False, break_on_hyphens=False
    )


def leave_broken(output: TextIO) -> None:
    """Send the rest of standard output or error nowhere if it cannot be written, or Python fails once more when it ends."""
    try:
        output.flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())


def refusal(error: OSError) -> str:
    """Say what the operating system refused, and for which file."""
    if error.errno in _MEND:
        reason = os.strerror(error.errno)  # Libraries have longer words for it.
        return f"{reason}: {error.filename or 'the output, or a file,'} could not be written; {_MEND[error.errno]}"
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}"
