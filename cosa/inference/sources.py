"""Where a checkpoint comes from: a path, or an address such as `mlflow:RUN` or `hf:NAME`. To add a source: a line here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from cosa.checkpoints.locate import EXPECTED, locate
from cosa.errors import UserError
from cosa.table import Table

# What fetches a checkpoint, 'module:function', by the word before the colon. It gets what stands behind it, and the folder of
# results that somebody named, or None. It is imported when it is asked for: the method itself needs neither a hub nor MLflow.
SOURCES: Table[str] = Table(
    "source of checkpoints",
    {"hf": "cosa.inference.hub:download", "mlflow": "workflows.records.fetched_checkpoint:fetch"},
)
RESULT_FOLDER = "checkpoint"  # In a result of a training stage the checkpoint lies here.


def local_checkpoint(address: str | Path, storage: Path | None = None) -> Path:
    """The path of a checkpoint, which is fetched if it is elsewhere.

    Args:
        address: a path, or the address of a source.
        storage: folder of results that a source looks into; left out: the usual one of the source.

    Raises:
        UserError: there is none, or it cannot be fetched.
    """
    if not isinstance(address, str | os.PathLike):
        raise UserError(f"a checkpoint of type {type(address).__name__}; expected a path, or {' or '.join(_addresses())}")
    scheme, colon, name = str(address).partition(":")
    if isinstance(address, str) and colon and scheme in SOURCES:
        fetch: Callable[[str, Path | None], Path] = resolve_name(SOURCES[scheme])
        return fetch(name, storage)
    path = Path(address).expanduser()
    for candidate in (path, path / RESULT_FOLDER):
        if locate(candidate) is not None:
            return candidate
    what = "is no checkpoint" if path.exists() else "does not exist"
    raise UserError(f"{path.absolute()} {what}; expected {EXPECTED}, a result that holds one, {' or '.join(_addresses())}")


def _addresses() -> list[str]:
    return [f"{scheme}:NAME" for scheme in SOURCES]
