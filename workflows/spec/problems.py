"""Reports errors in a spec: all of them at once, each with its place, the line itself and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from cosa.errors import UserError
from workflows.spec.place import Place


@dataclass(frozen=True)
class Problem:
    """One error in a spec, and where it is."""

    message: str
    place: Place | None = None

    def __str__(self) -> str:
        if self.place is None:
            return self.message
        lines = [f"{self.place}: {self.message}"]
        if self.place.text:
            number = str(self.place.line)
            lines.append(f"  {number} | {self.place.text.rstrip()}")
            lines.append(f"  {' ' * len(number)} | {' ' * (self.place.column - 1)}^")
        return "\n".join(lines)


class SpecError(UserError):
    """Says why a spec cannot be used. `problems` holds everything that was found, each once, sorted by file and line."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(dict.fromkeys(problems), key=_order)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _order(problem: Problem) -> tuple[str, int, int]:
    place = problem.place
    return (place.file, place.line, place.column) if place is not None else ("", 0, 0)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean 'x'?' for the nearest known word, otherwise '; known: a, b, c'."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else "; there are none"
