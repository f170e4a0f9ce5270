"""Declares the commands that use models and convert them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.command_line.interrupts import clean_up_after_interrupt

app = typer.Typer()


@app.command("import-checkpoint")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A published file of weights, or a published folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    options: Annotated[Path | None, typer.Option("--hps", help="Its hps.json; left out: the one beside it, if any.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Side of the images, pixels; left out: the file's.", min=1)] = None,
    frame_positions: Annotated[int | None, typer.Option(help="Frame embeddings; left out: the file's.", min=1)] = None,
    text_heads: Annotated[int | None, typer.Option(help="Attention heads of BERT, if neither base nor large.", min=1)] = None,
    vision_heads: Annotated[int | None, typer.Option(help="Attention heads of CLIP, if not 64 wide.", min=1)] = None,
) -> None:
    """Convert a published checkpoint into ours. Say what became of every key."""
    from workflows.commands.import_checkpoint import import_checkpoint as run_import

    clean_up_after_interrupt()
    run_import(
        file,
        out,
        options=options,
        resolution=resolution,
        frame_positions=frame_positions,
        text_heads=text_heads,
        vision_heads=vision_heads,
    )
