"""Declares the commands that show and check results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.command_line.arguments import StorageFolder
from workflows.command_line.interrupts import clean_up_after_interrupt

app = typer.Typer()

ResultName = Annotated[
    str, typer.Argument(metavar="RESULT", help="EXPERIMENT/STAGE, a fingerprint, an MLflow run, or a result's folder.")
]
NamedStorage = Annotated[
    Path | None,
    typer.Option("--storage", help="Folder of results; left out: storage, and of a spec its own.", metavar="FOLDER"),
]


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
def show(
    result: ResultName,
    storage: NamedStorage = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
) -> None:
    """Show everything about one result. How it was made, from what, its figures and its files."""
    from workflows.commands.show import show_result

    show_result(result, storage, as_json=as_json)


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="A B...", help="Experiments, stages (EXPERIMENT/STAGE), fingerprints, MLflow runs or specs."),
    ],
    storage: NamedStorage = None,
    html: Annotated[Path | None, typer.Option(help="Write a page instead.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all as JSON.")] = False,
) -> None:
    """Compare results side by side. Spec, data, code and metrics, with tests on the same samples."""
    from workflows.commands.compare import show_comparison

    show_comparison(names, storage, as_json=as_json, html=html)


@app.command()
def report(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT|SPEC", help="An experiment with results, or its spec.")],
    out: Annotated[Path, typer.Option(help="File of the page.", metavar="FILE")] = Path("report.html"),
    storage: NamedStorage = None,
) -> None:
    """Write one page about an experiment. It has figures, curves, predictions, cost and commands."""
    from workflows.commands.report import write_report

    write_report(name, out, storage)


@app.command()
def clean(
    storage: StorageFolder = Path("storage"),
    experiment: Annotated[str | None, typer.Option(help="Only of this experiment.")] = None,
    older_than: Annotated[str | None, typer.Option(metavar="AGE", help="Only what is older, such as 30d or 12h.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """Remove results that nothing needs. Asks first, and takes unfinished work and frames, too."""
    from workflows.commands.clean import clean as clean_storage

    clean_up_after_interrupt()
    clean_storage(storage, experiment=experiment, older_than=older_than, dry_run=dry_run, yes=yes, as_json=as_json)


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
