"""`cosa list` shows specs with a line about each, converters, and results."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from cosa.datasets.converters import CONVERTERS
from cosa.regular_files import read_regular
from workflows.records.headline import headline
from workflows.results.manifest import read_manifest
from workflows.results.storage import Storage, complete
from workflows.terminal.console import PlainConsole
from workflows.terminal.reporter import duration


def show_listing(experiments: Path, storage: Path) -> None:
    """Print specs below a folder, converters, and the results in a storage folder."""
    console = PlainConsole()
    console.print("[bold]Specs[/]")
    table = _table("spec", "paper or purpose")
    for path in sorted(experiments.rglob("*.yaml")):
        if path.parent.name != "base":
            table.add_row(f"  {escape(str(path))}", escape(_header(path)))
    console.print(table if table.row_count else f"  none in {escape(str(experiments.absolute()))}")
    console.print("\n[bold]Converters[/] (stages of kind prepare)")
    for name, converter in CONVERTERS.items():
        console.print(f"  {escape(f'{name:<12} {converter.description}')}")
    console.print(f"\n[bold]Results[/] in {escape(str(storage))}")
    results = _results(storage)
    console.print(results if results.row_count else "  none yet")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column if index else f"  {column}")
    return table


def _header(path: Path) -> str:
    """Find the line of a spec's opening comment that says what to expect."""
    try:
        text = read_regular(path).decode()
    except (OSError, UnicodeDecodeError):
        return "(cannot be read)"
    for line in text.splitlines():
        if line.startswith(("# Paper:", "# Expect:", "# Purpose:")):
            return line.partition(":")[2].strip()
        if line and not line.startswith("#"):
            break
    return ""


def _results(storage: Path) -> Table:
    table = _table("experiment", "stage", "made", "took", "main metrics", "folder")
    for folder in complete(sorted(storage.glob("*/*/*"))):
        experiment, stage = folder.parts[-3:-1]
        damage = Storage(storage, experiment).damage_of(stage, folder)
        manifest = read_manifest(folder) if damage is None else None
        if manifest is None:
            table.add_row(
                f"  {escape(experiment)}", escape(stage), "", "", f"[red]{escape(str(damage))}[/]", escape(folder.name)
            )
            continue
        table.add_row(
            f"  {escape(experiment)}",
            escape(stage),
            escape(manifest.started.replace("T", " ")[:16]),
            duration(manifest.seconds),
            escape(headline(manifest.kind, manifest.metrics)),
            escape(folder.name),
        )
    return table
