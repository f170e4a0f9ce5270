"""Tells the two ways apart in which a spec refers to a checkpoint: the name of a stage, or a path."""

from __future__ import annotations


def is_path(reference: str) -> bool:
    """Return whether `init_from` or `checkpoint` names a folder or file instead of a stage."""
    return "/" in reference or reference.startswith(".")
