"""Declares the commands that show and check results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.command_line.arguments import StorageFolder
from workflows.command_line.interrupts import clean_up_after_interrupt

app = typer.Typer()


@app.command("list")
def list_(
    only: Annotated[str | None, typer.Argument(metavar="[WHAT]", help="Only results, specs or converters.")] = None,
    storage: StorageFolder = Path("storage"),
    folder: Annotated[Path, typer.Option("--experiments", help="Folder of specs.")] = Path("experiments"),
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
) -> None:
    """List results, specs and converters. Results come with what tells them apart. In a pipe: tab-separated."""
    from workflows.commands.listing import show_listing

    show_listing(folder, storage, only=only, as_json=as_json)


@app.command()
def verify(storage: StorageFolder = Path("storage")) -> None:
    """Read all results through. Say which are not what was made."""
    from workflows.commands.verify import verify as verify_results

    verify_results(storage)


@app.command()
def ui(
    storage: StorageFolder = Path("storage"),
    port: Annotated[
        int | None, typer.Option(help="Port on 127.0.0.1; left out: 5000 or the next free one.", min=1024, max=65535)
    ] = None,
) -> None:
    """Open the MLflow UI on the results of a storage folder."""
    from workflows.commands.mlflow_ui import serve_ui

    clean_up_after_interrupt()
    serve_ui(storage, port)


@app.command()
def sync(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files unsent-*.jsonl.")]) -> None:
    """Send MLflow the records that it missed."""
    from workflows.records.tracking import sync_files

    clean_up_after_interrupt()
    sync_files(files)
