"""Writes tables in Markdown, which MLflow shows as the description of a run."""

from __future__ import annotations

from collections.abc import Sequence

NOTE_TAG = "mlflow.note.content"  # what MLflow shows as a run's description
LONGEST_NOTE = 8000  # characters. MLflow cuts longer tags wherever that is, also inside of a row.


def table_head(titles: Sequence[str]) -> str:
    """Write the titles of the columns."""
    return table_row(*titles) + "|---" * len(titles) + "|\n"


def table_row(*cells: str) -> str:
    """Write a row."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


def number(value: float | None) -> str:
    """Write the value of a metric; nothing for None."""
    return "" if value is None else f"{value:.1f}"
