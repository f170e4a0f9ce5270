"""How a spec says what a stage starts from or evaluates: the name of a stage, or a path."""

from __future__ import annotations


def is_path(reference: str) -> bool:
    """Whether `init_from` or `checkpoint` names a folder or file instead of a stage."""
    return "/" in reference or reference.startswith(".")
