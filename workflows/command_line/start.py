"""Declares the commands that help to begin: specs to start from, their fields, and a check of the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.command_line.arguments import AsJson, StorageFolder
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
def prepare(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A converter, such as msrvtt.")] = None,
    source: Annotated[str | None, typer.Option(metavar="FOLDER", help="The authors' files, as they are downloaded.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where annotations are written.")] = None,
    variant: Annotated[str | None, typer.Option(help="What for, such as captioning; left out: the usual one.")] = None,
    media: Annotated[str | None, typer.Option(metavar="FOLDER", help="Clips or images, to see whether all are there.")] = None,
    missing: Annotated[str | None, typer.Option(help="leave_out: annotations whose clip or image has no file.")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another option of the converter.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List converters, and the files that each reads.")] = False,
    as_json: AsJson = False,
) -> None:
    """Convert a dataset's own files to annotations. Say how much was found, and how much was published."""
    from workflows.commands.prepare import prepare as run_converter
    from workflows.commands.prepare import show_sources
    from workflows.spec.problems import UsageError

    if listed:
        show_sources(as_json=as_json)
        return
    if name is None or out is None:
        raise UsageError("prepare: give a converter and --out FOLDER, or --list")
    own = {"source": source, "variant": variant, "media": media, "missing": missing}
    for written in option or ():
        key, equals, value = written.partition("=")
        if not equals:
            raise UsageError(f"--option {written}: expected NAME=VALUE")
        own[key] = value
    clean_up_after_interrupt()
    run_converter(name, out, {key: value for key, value in own.items() if value is not None}, as_json=as_json)


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
