"""Prints to the terminal by way of rich, without control characters and without secrets."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workflows.spec.secrets import Secrets
from workflows.terminal.plain_text import printable

WIDE = 100_000  # characters of a line in a file or a pipe, where nobody needs it to be wrapped

_IN_FIELDS = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})  # what is between fields and lines, and what escapes it


def table(*columns: str, right: Collection[str] = (), header: bool = True, unbroken: Collection[str] = ()) -> Table:
    """Make a table in which nothing is cut: what does not fit into its column continues in the next line.

    right: columns of numbers. unbroken: columns whose cells never continue, because they are copied.
    """
    made = Table(box=None, pad_edge=False, header_style="dim", show_header=header)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold", no_wrap=column in unbroken)
    return made


def print_fields(lines: Iterable[Sequence[str]]) -> None:
    """Print lines of fields that tabs separate, for other programs, each at once. Nothing is cut.

    In a field, a tab is `\\t`, the end of a line `\\n`, another control character `\\x1b` or the like, and a backslash is two.
    """
    secrets = Secrets.of_process()
    for line in lines:
        print("\t".join(printable(secrets.hide(field).translate(_IN_FIELDS)) for field in line), flush=True)


class PlainConsole(Console):
    """Prints rich's markup. Texts that come from elsewhere must be escaped, so that they are not taken for markup."""

    def __init__(self, file: TextIO | None = None, **options: Any):
        super().__init__(file=file, highlight=False, emoji=False, **options)  # A path may hold :fire: as it is.
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = WIDE
        self._secrets = Secrets.of_process()

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text, alone or as a cell of a table, for which rich calls this method."""
        return super().render_str(printable(self._secrets.hide(text)), **options)
