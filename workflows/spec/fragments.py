"""Tells whether a file is a fragment: a part of specs that extend it, and no spec by itself."""

from __future__ import annotations

import re
from pathlib import Path

from cosa.regular_files import read_regular

MARK = "x-fragment"
_MARKED = re.compile(rf"^{MARK}:\s*true\s*(#.*)?$", re.MULTILINE)


def is_fragment(path: Path) -> bool:
    """Return whether a file says at its top level that it is a fragment, `x-fragment: true`."""
    try:
        return _MARKED.search(read_regular(path).decode()) is not None
    except (OSError, UnicodeDecodeError):
        return False
