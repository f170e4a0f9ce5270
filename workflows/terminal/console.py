"""Prints to the terminal by way of rich, without control characters and without secrets."""

from __future__ import annotations

from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from workflows.spec.secrets import Secrets
from workflows.terminal.plain_text import printable


class PlainConsole(Console):
    """Prints rich's markup. Texts that come from elsewhere must be escaped, so that they are not taken for markup."""

    def __init__(self, file: TextIO | None = None, **options: Any):
        super().__init__(file=file, highlight=False, emoji=False, **options)  # A path may hold :fire: as it is.
        self._secrets = Secrets.of_process()

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text, alone or as a cell of a table, for which rich calls this method."""
        return super().render_str(printable(self._secrets.hide(text)), **options)
