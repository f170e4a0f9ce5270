"""Tells the ways apart in which a spec refers to something: a checkpoint by the name of a stage or a path, a split by the path
of a file of annotations or of shards."""

from __future__ import annotations

from cosa.data.shards.paths import SUFFIX, without_options


def is_path(reference: str) -> bool:
    """Return whether `init_from` or `checkpoint` names a folder or file instead of a stage."""
    return "/" in reference or reference.startswith(".")


def split_fields(path: str) -> tuple[str, ...]:
    """Return the fields of a split that a plain path stands for."""
    return ("shards",) if without_options(path).endswith(SUFFIX) else ("captions", "questions")
