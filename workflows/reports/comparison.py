"""Puts a comparison together: for every stage what differs in spec, data, code and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cosa.errors import UserError
from workflows.reports.compared import Cell, Column, cell_of
from workflows.reports.compared_code import CodeRow, code_rows
from workflows.reports.compared_data import DataRow, data_changes, data_rows
from workflows.reports.compared_fields import FieldRow, field_rows
from workflows.reports.compared_metrics import MetricRow, PairedRow, metric_rows, missing_scores, paired_rows
from workflows.results.inventory import StoredResult
from workflows.spec.problems import did_you_mean


@dataclass(frozen=True)
class StageComparison:
    """One stage in all columns. stage: its name, or the names in the columns where these differ. notes: why something is not
    there. is_same: whether all columns use one and the same result."""

    stage: str
    kind: str
    cells: tuple[Cell | None, ...]
    is_same: bool
    fields: tuple[FieldRow, ...]
    data: tuple[DataRow, ...]
    data_changes: tuple[str, ...]
    code: tuple[CodeRow, ...]
    metrics: tuple[MetricRow, ...]
    tests: tuple[PairedRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that is compared. columns: in the order in which they were given; the first one is what others are tested
    against."""

    columns: tuple[Column, ...]
    stages: tuple[StageComparison, ...]


def compare(columns: Sequence[Column]) -> Comparison:
    """Compare several things.

    Stages are matched by their names. If one of the things is a single result, its stage is compared: with the other single
    results, whatever they are called, and with the stage of that name of experiments and specs; and then the stages that all of
    these were made from, as far as they differ.

    Raises:
        UserError: an experiment has no stage of that name.
    """
    singles = [column for column in columns if column.is_single]
    if singles:
        wanted = singles[0].stages[0]
        names = [column.stages[0] if column.is_single else _stage_in(column, wanted) for column in columns]
        first = [cell_of(column, name) for column, name in zip(columns, names, strict=True)]
        rows = [first, *_made_from(first, columns)]
    else:
        stages = dict.fromkeys(stage for column in columns for stage in column.stages)
        rows = [[cell_of(column, stage) for column in columns] for stage in stages]
    return Comparison(tuple(columns), tuple(_compared(cells, columns) for cells in rows))


def _stage_in(column: Column, stage: str) -> str:
    if stage not in column.stages:
        raise UserError(f"{column.name} has no stage {stage}{did_you_mean(stage, column.stages)}; write {column.name}/STAGE")
    return stage


def _made_from(cells: Sequence[Cell | None], columns: Sequence[Column]) -> list[list[Cell | None]]:
    """Return the cells of the stages that all of some results were made from, where they differ, the last one first."""
    found: dict[str, list[Cell | None]] = {}
    started: dict[str, float] = {}
    waiting = [list(cells)]
    while waiting:
        row = waiting.pop(0)
        inputs = [
            column.inventory.inputs_of(cell.result) if cell is not None and cell.result is not None else {}
            for cell, column in zip(row, columns, strict=True)
        ]
        for name in inputs[0]:
            is_shared = all(of_column.get(name) for of_column in inputs)
            if is_shared and name not in found and len({of_column[name][0].fingerprint for of_column in inputs}) > 1:
                found[name] = [Cell(name, of_column[name][0]) for of_column in inputs]
                started[name] = max(of_column[name][0].started for of_column in inputs)
                waiting.append(found[name])
    return [found[name] for name in sorted(found, key=lambda name: -started[name])]


def _compared(cells: Sequence[Cell | None], columns: Sequence[Column]) -> StageComparison:
    there = [cell for cell in cells if cell is not None]
    folders = {cell.result.folder.resolve() if cell.result is not None else None for cell in there}
    is_same = len(folders) == 1 and None not in folders and len(there) == len(cells)
    absent = [
        f"{column.label} has no stage {there[0].stage}"
        if cell is None
        else f"{column.label}: {cell.stage} has no result yet ({cell.why})"
        for cell, column in zip(cells, columns, strict=True)
        if cell is None or cell.result is None
    ]
    damaged = [f"{column.label}: {cell.result.damage}" for cell, column in _with_results(cells, columns) if cell.result.damage]
    return StageComparison(
        " / ".join(dict.fromkeys(cell.stage for cell in there)),
        ", ".join(dict.fromkeys(cell.kind for cell in there if cell.kind)),
        tuple(cells),
        is_same,
        tuple(field_rows(cells)),
        tuple(data_rows(cells)),
        tuple(data_changes(cells, columns)),
        tuple(code_rows(cells)),
        tuple(metric_rows(cells)),
        tuple(paired_rows(cells)),
        (*absent, *damaged, *missing_scores(cells, columns)),
    )


def _with_results(cells: Sequence[Cell | None], columns: Sequence[Column]) -> list[tuple[Any, Column]]:
    return [(cell, column) for cell, column in zip(cells, columns, strict=True) if cell is not None and cell.result is not None]


def plain(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON-ready data."""
    labels = [column.label for column in comparison.columns]
    return {
        "columns": [{"label": column.label, "name": column.name} for column in comparison.columns],
        "stages": [_plain_stage(stage, labels) for stage in comparison.stages],
    }


def _plain_stage(stage: StageComparison, labels: Sequence[str]) -> dict[str, Any]:
    def by_label(values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(labels, values, strict=True))

    return {
        "stage": stage.stage,
        "kind": stage.kind,
        "same_result": stage.is_same,
        "results": by_label([_plain_result(cell.result) if cell is not None else None for cell in stage.cells]),
        "fields": [{"field": row.name, "decides": row.decides, "values": by_label(row.values)} for row in stage.fields],
        "data": [{"name": row.name, "differs": row.differs, "values": by_label(row.values)} for row in stage.data],
        "data_changes": list(stage.data_changes),
        "code": [{"name": row.name, "differs": row.differs, "values": by_label(row.values)} for row in stage.code],
        "metrics": [
            {
                "metric": row.name,
                "values": by_label(row.values),
                "best": [labels[place] for place in sorted(row.best)],
                "intervals": by_label([None if one is None else asdict(one) for one in row.intervals]),
                "baseline": row.baseline,
                "published": row.published,
            }
            for row in stage.metrics
        ],
        "tests": [
            {"metric": row.name, "first": labels[0], "second": labels[row.column], "better": row.is_better, **asdict(row.found)}
            for row in stage.tests
        ],
        "notes": list(stage.notes),
    }


def _plain_result(result: StoredResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {"name": result.name, "fingerprint": result.fingerprint, "folder": str(result.folder)}
