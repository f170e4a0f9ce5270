"""How names and texts that come from files are shown in a message, which a terminal may print."""

from collections.abc import Collection
from itertools import islice

_SHOWN = 60  # characters


def shown(name: object) -> str:
    """A name or path for a message: characters that a terminal would obey, or not show at all, are escaped."""
    text = str(name)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def some_of(names: Collection[object], most: int = 3) -> str:
    """The first of some names, and whether there are more."""
    return ", ".join([*map(shown, islice(names, most)), *(["..."] if len(names) > most else [])])


def quoted(text: str) -> str:
    """A short, printable rendering in quotes: control characters escaped, long texts cut."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
