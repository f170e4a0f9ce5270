"""Where something stands, so that an error can show the line."""

from __future__ import annotations

from dataclasses import dataclass

FieldPath = tuple[str | int, ...]  # of a field in a spec: keys and positions in lists, from the outside in


@dataclass(frozen=True)
class Place:
    """A place in a file (line and column from 1) or on the command line."""

    file: str
    line: int = 0
    column: int = 0
    text: str = ""  # the full line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file
