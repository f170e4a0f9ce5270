"""One entry of an annotation file as it stands there, with what a message needs to point at it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn

from cosa.data.split_reading import USUAL, FieldNames, columns_hint
from cosa.errors import DataError
from cosa.message_text import quoted, shown


class Item(NamedTuple):
    """One annotation as it stands in the file, with what an error message needs to point at it.

    number: counted from 1. line: where it begins. value: its fields, if it is right. header: the names of all columns, if the
    file is a table; cells without content are no fields of the value. has_lines: whether a person can look at its lines.
    """

    path: Path
    number: int
    line: int
    value: object
    header: tuple[str, ...] | None = None
    has_lines: bool = True

    @property
    def word(self) -> str:
        """What a field is called in such a file."""
        return "field" if self.header is None else "column"

    def fail(self, problem: str) -> NoReturn:
        """Raise DataError that says where a problem is."""
        where = f"line {self.line} (entry {self.number})" if self.has_lines else f"row {self.number}"
        raise DataError(f"{shown(self.path)}, {where}: {problem}")

    def lacks(self, field: str, names: FieldNames) -> NoReturn:
        """Raise DataError that says which field is missing. field: of `FieldNames`."""
        wanted: tuple[str, ...] = getattr(names, field)
        if self.header is not None:
            self._lacks_column(field, names)
        others = f' (or "{wanted[1]}")' if wanted[:2] == USUAL.caption[:2] else ""
        found = names_of(self.value) if isinstance(self.value, dict) else "none"
        self.fail(f'field "{wanted[0]}"{others} is missing; found the fields {found}')

    def _lacks_column(self, field: str, names: FieldNames) -> NoReturn:
        header = self.header or ()
        there = next((name for name in getattr(names, field) if name in header), None)
        if there is not None:
            self.fail(f'column "{there}" is empty; correct or remove the row')
        asked = "question" if field == "question" or any(name in header for name in names.question) else "caption"
        lacking = [one for one in dict.fromkeys(("media", asked, field)) if not set(getattr(names, one)) & set(header)]
        free = [name for name in header if name not in names.all] or list(header)
        raise DataError(
            f"{shown(self.path)} has no column {' or '.join(getattr(names, field))}; it has the columns {listed(header)}: say "
            f"in the split which is which, such as {columns_hint(free, lacking)}"
        )


def kind_of(value: object) -> str:
    """What a value is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null", bytes: "no text"}
    return names.get(type(value), f"a number ({quoted(str(value))})")


def names_of(fields: Iterable[object]) -> str:
    """Names of fields, for a message."""
    return quoted(", ".join(sorted(str(name) for name in fields))) or "none"


def listed(columns: Iterable[str]) -> str:
    """Names of columns in their order, for a message."""
    return ", ".join(map(quoted, columns)) or "none"
