"""Columns of single results for comparisons."""

from pathlib import Path

from workflows.reports.compared import Cell, Column, cell_of
from workflows.results.inventory import Inventory


def columns_of(root: Path, *folders: Path) -> list[Column]:
    """Return a column for each of some results, called A, B, and so on."""
    inventory = Inventory.of(root)
    found = {one.folder.resolve(): one for one in inventory.results}
    results = [found[folder.resolve()] for folder in folders]
    return [
        Column(letter, one.name, inventory, {one.stage: one}, is_single=True)
        for letter, one in zip("ABCDEFGH", results, strict=False)
    ]


def cells_of(columns: list[Column]) -> list[Cell]:
    """Return their cells."""
    return [cell for column in columns if (cell := cell_of(column, column.stages[0])) is not None]
