"""Declares the commands that help to begin: specs to start from, their fields, and a check of the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.command_line.arguments import StorageFolder
from workflows.command_line.interrupts import clean_up_after_interrupt

app = typer.Typer()


@app.command()
def init(
    template: Annotated[str, typer.Argument(help="Which spec to copy, such as retrieval/msrvtt.")] = "own-clips",
    into: Annotated[Path, typer.Option(help="Folder to copy to.")] = Path("experiments"),
    show: Annotated[bool, typer.Option("--list", help="List all templates instead.")] = False,
) -> None:
    """Copy a spec to start from. By default one for clips of your own. Say what it needs, and where."""
    from workflows.commands.init import init as copy_template
    from workflows.commands.init import show_templates

    if show:
        show_templates()
    else:
        copy_template(template, into)


@app.command()
def schema(
    section: Annotated[str | None, typer.Argument(help="A stage kind, a section or a field; all when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON schema, for editors.")] = False,
) -> None:
    """Explain every field of a spec."""
    from workflows.commands.schema import show_schema

    show_schema(section, as_json=as_json)


@app.command()
def doctor(storage: StorageFolder = Path("storage")) -> None:
    """Try every part of the installation. These are torch, video, Java, MLflow and Ray. Say what to do if one fails."""
    from workflows.commands.doctor import run_doctor

    clean_up_after_interrupt()
    run_doctor(storage)
