"""Compares what specs say of stages: the fields that differ, those that decide a result before the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.planning.telling_apart import deciding_fields
from workflows.reports.compared import NOTHING, Cell
from workflows.results.manifest import Manifest
from workflows.spec.secrets import Secrets

NOT_COMPARED = ("kind", "description", "matrix", "published")  # The first heads a table, and the others are no settings.


@dataclass(frozen=True)
class FieldRow:
    """A field with another value in some column. values: as in YAML; None where a column has no such field. decides: whether it
    changes what a stage computes; names of what is read do not, because the content counts."""

    name: str
    values: tuple[str | None, ...]
    decides: bool

    @property
    def shown(self) -> list[str]:
        """Return the values for a table."""
        return [NOTHING if value is None else value for value in self.values]


def field_rows(cells: Sequence[Cell | None]) -> list[FieldRow]:
    """Return the fields in which stages differ, also those of the model and the seed."""
    hidden = Secrets.of_process().hide_in
    everything = [_flat(hidden(_all_fields(cell))) if cell is not None and cell.section else None for cell in cells]
    deciding = {name for cell in cells if cell is not None for name in _flat(_deciding(cell))}
    known = [found for found in everything if found is not None]
    names = dict.fromkeys(name for found in known for name in found)
    rows = [
        FieldRow(
            name,
            tuple(None if found is None or name not in found else _text(found[name]) for found in everything),
            name in deciding,
        )
        for name in names
        if len({_text(found[name]) if name in found else None for found in known}) > 1
    ]
    return sorted(rows, key=lambda row: not row.decides)


def _all_fields(cell: Cell) -> dict[str, Any]:
    """Return all fields of a stage that people set, with the model and the seed."""
    section = {name: value for name, value in cell.section.items() if name not in NOT_COMPARED}
    if cell.manifest is not None:
        return {**section, "model": cell.manifest.model, "seed": cell.manifest.seed}
    return {**section, "model": cell.step.model, "seed": cell.step.seed} if cell.step is not None else section


def _deciding(cell: Cell) -> dict[str, Any]:
    """Return the fields of a stage that decide its result, also of one that it has not yet."""
    if cell.manifest is not None:
        return deciding_fields(cell.manifest)
    if cell.step is None:
        return {}
    section = cell.step.section.model_dump(mode="json")
    return deciding_fields(
        Manifest("planned", cell.stage, cell.kind, cell.step.version, "", section, cell.step.seed, model=cell.step.model)
    )


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the single values in data by dotted names. Lists of plain values are values."""
    return dict(_entries(fields, ""))


def _entries(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _entries(inside, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        for number, inside in enumerate(value):
            yield from _entries(inside, f"{path}.{number}")
    else:
        yield path, value


def _text(value: Any) -> str:
    """Write a value as a spec would have it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
