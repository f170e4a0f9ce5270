"""Compares how results were made: commit, versions of packages, machine, when, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workflows.reports.compared import NOTHING, Cell
from workflows.results.manifest import Manifest
from workflows.results.sizes import bytes_text, size_of
from workflows.terminal.reporter import duration

COMMIT_DIGITS = 10


@dataclass(frozen=True)
class CodeRow:
    """Something about how results were made. differs: whether it does; of what always does, such as times, it is False."""

    name: str
    values: tuple[str | None, ...]
    differs: bool = False

    @property
    def shown(self) -> list[str]:
        """Return the values for a table."""
        return [NOTHING if value is None else value for value in self.values]


def code_rows(cells: Sequence[Cell | None]) -> list[CodeRow]:
    """Return the commit, what else differs of code and machines, and when and how long stages ran, and what they take up."""
    facts = [None if cell is None or cell.manifest is None else _facts(cell.manifest) for cell in cells]
    known = [found for found in facts if found is not None]
    names = dict.fromkeys(name for found in known for name in found)
    rows = [CodeRow(name, tuple(None if found is None else found.get(name) for found in facts)) for name in names]
    rows = [CodeRow(row.name, row.values, len({found.get(row.name) for found in known}) > 1) for row in rows]
    made = [CodeRow(name, tuple(values)) for name, values in zip(("started", "took", "size"), _made(cells), strict=True)]
    return [row for row in rows if row.differs or row.name == "commit"] + made


def _facts(manifest: Manifest) -> dict[str, str]:
    dirty = " and changes" if manifest.git.get("dirty") == "yes" else ""
    commit = manifest.git.get("commit", "")[:COMMIT_DIGITS]
    facts = {"commit": f"{commit}{dirty}" if commit else "unknown", f"version of {manifest.kind}": str(manifest.kind_version)}
    return {**facts, "machine": manifest.host, **manifest.versions}


def _made(cells: Sequence[Cell | None]) -> list[list[str | None]]:
    """Return when stages were started, how long they took and what they take up on the disk."""
    started: list[str | None] = []
    took: list[str | None] = []
    sizes: list[str | None] = []
    for cell in cells:
        found = cell.manifest if cell is not None else None
        started.append(found.started.replace("T", " ")[:16] if found is not None else None)
        took.append(duration(found.seconds) if found is not None else None)
        sizes.append(bytes_text(size_of(cell.result.folder)) if cell is not None and cell.result is not None else None)
    return [started, took, sizes]
