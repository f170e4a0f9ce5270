"""Declares the commands that use models and convert them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from workflows.command_line.arguments import AsJson, Checkpoint, ExperimentName, Frames, Resolution, StorageFolder
from workflows.command_line.interrupts import clean_up_after_interrupt

app = typer.Typer()


@app.command()
def caption(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Videos, pictures or folders of frames.")],
    checkpoint: Checkpoint = None,
    experiment: ExperimentName = None,
    storage: StorageFolder = Path("storage"),
    beam: Annotated[int | None, typer.Option(min=1, help="Beams; left out: as in training.")] = None,
    frames: Frames = None,
    resolution: Resolution = None,
    as_json: AsJson = False,
) -> None:
    """Say in a sentence what each file shows."""
    from workflows.commands.chosen_checkpoint import Choice
    from workflows.commands.describe import show_captions

    settings = {"beam_size": beam, "eval_frames": frames, "resolution": resolution}
    show_captions(files, Choice(checkpoint, experiment, storage), settings, as_json=as_json)


@app.command()
def ask(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video, a picture or a folder of frames.")],
    questions: Annotated[list[str], typer.Argument(metavar="QUESTION...", help="Questions about it.")],
    checkpoint: Checkpoint = None,
    experiment: ExperimentName = None,
    storage: StorageFolder = Path("storage"),
    frames: Frames = None,
    resolution: Resolution = None,
    as_json: AsJson = False,
) -> None:
    """Answer questions about a file."""
    from workflows.commands.chosen_checkpoint import Choice
    from workflows.commands.describe import show_answers

    settings = {"eval_frames": frames, "resolution": resolution}
    show_answers(file, questions, Choice(checkpoint, experiment, storage), settings, as_json=as_json)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of videos and pictures.")],
    out: Annotated[Path, typer.Option(metavar="INDEX", help="File to write, or to bring up to date.")],
    checkpoint: Checkpoint = None,
    experiment: ExperimentName = None,
    storage: StorageFolder = Path("storage"),
    by: Annotated[Literal["windows", "shots", "none"], typer.Option("--cut", help="How long videos are cut.")] = "windows",
    window: Annotated[float, typer.Option(min=0.1, help="Length of a window, and of the longest shot, seconds.")] = 10.0,
    uncut: Annotated[float, typer.Option("--uncut-up-to", min=0, help="Shorter videos are not cut, seconds.")] = 60.0,
    frames: Frames = None,
    resolution: Resolution = None,
    frame_folders: Annotated[
        bool, typer.Option("--frame-folders", help="A folder of pictures is one clip, as extracted frames are.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it again, whatever there is.")] = False,
) -> None:
    """Index videos and pictures for search. Unchanged files are not read again."""
    from workflows.commands.chosen_checkpoint import Choice
    from workflows.commands.index import IndexOptions, make_index

    clean_up_after_interrupt()
    settings = {"eval_frames": frames, "resolution": resolution}
    cut = {"by": by, "window": window, "uncut_up_to": uncut}
    make_index(IndexOptions(folder, out, Choice(checkpoint, experiment, storage), settings, cut, frame_folders, rebuild))


@app.command()
def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="A file that `cosa index` wrote.")],
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What is shown.")] = None,
    like: Annotated[Path | None, typer.Option(help="Search by a picture or a video instead.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Compare the text with the best again, by the matching head.")
    ] = False,
    once: Annotated[bool, typer.Option("--once-per-file", help="Only the best part of each video.")] = False,
    approximate: Annotated[bool, typer.Option("--approximate", help="By faiss; for millions of vectors.")] = False,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures, too.")] = None,
    open_html: Annotated[bool, typer.Option("--open-html", help="Open the page in a browser.")] = False,
) -> None:
    """Search an index by a text, a picture or a video."""
    from workflows.commands.search import Query
    from workflows.commands.search import search as search_index

    query = Query(text, like, top, rerank, once, approximate)
    search_index(index, query, checkpoint, as_json=as_json, html=html, show=open_html)


@app.command()
def demo(
    checkpoint: Checkpoint = None,
    experiment: ExperimentName = None,
    storage: StorageFolder = Path("storage"),
    index: Annotated[Path | None, typer.Option(metavar="INDEX", help="A file that `cosa index` wrote, to search.")] = None,
    port: Annotated[int, typer.Option(help="First port on 127.0.0.1 to try.", min=1024, max=65535)] = 7860,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page to search, caption and ask."""
    from workflows.commands.chosen_checkpoint import Choice
    from workflows.commands.demo import serve_demo

    clean_up_after_interrupt()
    serve_demo(Choice(checkpoint, experiment, storage), index, port, open_browser=browser)


@app.command()
def export(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A folder, a result, a published file, mlflow:RUN.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    push: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Put it on the Hugging Face hub, too.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it there.")] = False,
    storage: StorageFolder = Path("storage"),
) -> None:
    """Write a checkpoint as a folder for others."""
    from workflows.commands.export import export as export_checkpoint

    clean_up_after_interrupt()
    export_checkpoint(checkpoint, out, push=push, public=public, storage=storage)


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
