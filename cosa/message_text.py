"""How names and texts that come from files are shown in a message, which a terminal may print."""

import json
from collections.abc import Collection
from itertools import islice

_SHOWN = 60  # characters
_LARGE = 1e15  # from here on nobody writes a number in full


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


def as_written(value: object, *, ensure_ascii: bool = True) -> str:
    """JSON of a value of a field as people write it in a spec: 30, where the field's type has made it 30.0."""
    return json.dumps(_plain(value), ensure_ascii=ensure_ascii)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _LARGE else value
