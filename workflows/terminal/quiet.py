"""Redirects the output of Ray, MLflow, Java and C++ libraries to a log file, so that they do not write to the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from workflows.terminal.plain_text import REPLACEMENTS


@contextmanager
def chatter_to(log_file: Path) -> Iterator[TextIO]:
    """Send everything that is written to standard output and error, also by child processes, to a file.

    Yields:
        the terminal (or whatever standard output was) as a text file, for what a person should see.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log_file.open("a", encoding="utf-8") as log, _copy_of_output() as terminal:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield terminal
        finally:
            for stream in (sys.stdout, sys.stderr, terminal):
                with suppress(OSError):  # The log's disk may be full.
                    stream.flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def _copy_of_output() -> TextIO:
    """Open standard output once more, with the encoding that it has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return os.fdopen(os.dup(1), "w", encoding=encoding, errors=REPLACEMENTS)
