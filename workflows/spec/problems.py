"""Reports errors in a spec: all of them at once, each with its place, the line itself and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from cosa.errors import UserError
from workflows.spec.place import Place

MOST_PROBLEMS = 50  # Nobody reads more at once.
LONGEST_MESSAGE, LONGEST_LINE, LONGEST_WORD = 1000, 200, 100  # characters that are shown, or compared
MOST_NAMES, MOST_COMPARED = 40, 1000  # names that are listed, or compared


def shortened(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text without its middle if it is longer than a person wants to read."""
    if len(text) <= longest:
        return text
    part = longest // 2
    return f"{text[:part]} ... ({len(text) - 2 * part} characters left out) ... {text[-part:]}"


@dataclass(frozen=True)
class Problem:
    """One error in a spec, and where it is."""

    message: str
    place: Place | None = None

    def __str__(self) -> str:
        message = shortened(self.message)
        if self.place is None:
            return message
        lines = [f"{shortened(str(self.place))}: {message}"]
        if self.place.text:
            number = str(self.place.line)
            line, column = _around(self.place.text.rstrip(), self.place.column)
            lines.append(f"  {number} | {line}")
            lines.append(f"  {' ' * len(number)} | {' ' * (column - 1)}^")
        return "\n".join(lines)


def _around(line: str, column: int) -> tuple[str, int]:
    """Return the part of a long line around a column, and where the column is in it."""
    start = 0 if len(line) <= LONGEST_LINE else max(0, column - LONGEST_LINE // 2)
    return line[start : start + LONGEST_LINE], column - start


class SpecError(UserError):
    """Says why a spec cannot be used. `problems` holds everything that was found, each once, sorted by file and line."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(dict.fromkeys(problems), key=_order)
        more = len(self.problems) - MOST_PROBLEMS
        shown = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        super().__init__("\n".join([*shown, *([f"and {more} more mistakes"] if more > 0 else [])]))


class UsageError(UserError):
    """An argument on the command line that cannot be meant, such as the name of a stage that the spec does not have."""

    exit_code = 2


def _order(problem: Problem) -> tuple[str, int, int]:
    place = problem.place
    return (place.file, place.line, place.column) if place is not None else ("", 0, 0)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean 'x'?' for the nearest known word, otherwise '; known: a, b, c'."""
    known = sorted(known)
    comparable = len(word) <= LONGEST_WORD and len(known) <= MOST_COMPARED
    by_initials = [name for name in known if "_" in name and word.lower() == "".join(part[:1] for part in name.split("_"))]
    if len(by_initials) == 1:  # lr is learning_rate.
        return f"; did you mean {by_initials[0]!r}?"
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6) if comparable else []
    if close:
        return f"; did you mean {close[0]!r}?"
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return f"; known: {', '.join(known[:MOST_NAMES])}{more}" if known else "; there are none"
