"""Reads YAML scalars by the core schema of version 1.2, except that numbers with a leading zero are text.

PyYAML follows version 1.1, where `no` is false, `1:30` is 90, `010` is 8, and `1_000` and `2024-01-31` are no texts either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

STANDARD = "tag:yaml.org,2002:"
LARGEST = 2**63 - 1  # Larger integers fit neither into arrays nor into databases, and Python cannot even print the largest.

_SURROGATE = re.compile("[\ud800-\udfff]")
_DIGITS = r"[0-9]+"
_EXPONENT = rf"[eE][-+]?{_DIGITS}"
_PATTERNS = {  # by the name of a type: its form, and the characters that it may begin with
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    "float": (
        rf"[-+]?(?:{_DIGITS}\.[0-9]*(?:{_EXPONENT})?|{_DIGITS}{_EXPONENT}|\.{_DIGITS}(?:{_EXPONENT})?|\.inf|\.Inf|\.INF)"
        r"|\.nan|\.NaN|\.NAN",
        list("-+0123456789."),
    ),
}


class CoreLoader(yaml.SafeLoader):
    """Composes YAML into nodes whose tags follow the core schema; `<<` is still the key that merges a mapping."""


CoreLoader.yaml_implicit_resolvers = {"<": [(f"{STANDARD}merge", re.compile(r"^<<$"))]}
for _name, (_pattern, _first) in _PATTERNS.items():
    CoreLoader.add_implicit_resolver(f"{STANDARD}{_name}", re.compile(rf"^(?:{_pattern})$"), _first)


def value_of(tag: str, text: str) -> Any:
    """Return the value that a scalar's text has under a tag.

    Raises:
        ValueError: the tag is not one of the core schema, or the text has another form; the message says so.
    """
    name = tag.removeprefix(STANDARD)
    if _SURROGATE.search(text):
        raise ValueError(f"{_shortened(text)} is not valid Unicode: it has half of a character")
    if name in ("str", "merge"):
        return text
    if name not in _PATTERNS:
        raise ValueError(f"tag {tag!r} is not allowed in a spec")
    if name == "float" and re.fullmatch(_PATTERNS["int"][0], text):
        return float(_integer(text))
    if not re.fullmatch(_PATTERNS[name][0], text):
        raise ValueError(f"{_shortened(text)} has no form of the type {name!r}")
    return _READERS[name](text)


def _integer(text: str) -> int:
    base = {"0x": 16, "0o": 8}.get(text[:2], 10)
    digits = text[2:] if base != 10 else text.lstrip("+-")
    value = int(digits, base) if len(digits) <= len(str(LARGEST)) + 3 else LARGEST + 1  # Octal has three digits more.
    if value > LARGEST:
        raise ValueError(f"{_shortened(text)} is too large for an integer; the largest is {LARGEST}")
    return -value if text.startswith("-") else value


def _real(text: str) -> float:
    is_word = text.lstrip("+-").startswith((".i", ".I", ".n", ".N"))
    return float(text.lower().replace(".", "", 1) if is_word else text)


def _shortened(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:20]!r}... ({len(text)} characters)"


_READERS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _real,
}
