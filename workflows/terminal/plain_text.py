"""Prepares texts for terminals of every kind: in any encoding, and without control characters from elsewhere."""

from __future__ import annotations

import codecs
import io
import re
import sys

REPLACEMENTS = "replace signs of ours"  # the name of an error handler for encodings
_IN_ASCII = str.maketrans("├└│─✓✗…→×", "|`|-+x.>x")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Write what a terminal's encoding lacks: our own signs in ASCII, everything else as \\xe9 or \\u65e5."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return lacking.translate(_IN_ASCII).encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(REPLACEMENTS, _replace)


def print_everywhere() -> None:
    """Let standard output and error of this process write all texts, whatever the terminal's encoding is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=REPLACEMENTS)


def printable(text: str) -> str:
    """Return a text with control characters escaped; they could clear the screen, or show another text than there is."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
