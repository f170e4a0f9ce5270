"""Shows wrong arguments of the command line as typer does, and which command a wrong one may mean."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr

_UNKNOWN = re.compile(r"No such command '([^']+)'\.")


def usage_text(error: Exception) -> str | None:
    """Return what a person should read; None if the error is not about arguments."""
    show = getattr(error, "show", None)
    if show is None:
        return None
    with redirect_stderr(io.StringIO()) as shown:
        show()
    text = shown.getvalue().rstrip("\n")
    unknown, context = _UNKNOWN.search(text), getattr(error, "ctx", None)
    if unknown is None or context is None:
        return text
    begun = [name for name in context.command.list_commands(context) if name.startswith(unknown[1])]
    return f"{text} Did you mean {' or '.join(map(repr, begun))}?" if begun else text
