"""`cosa verify` reads all results of a storage folder through, and says which of them are not what was made."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from cosa.data.stored_frames import StoredFrames
from cosa.errors import UserError
from workflows.results.layout import clips_list
from workflows.results.manifest import DamagedResultError, read_manifest
from workflows.results.storage import Storage, complete
from workflows.terminal.console import PlainConsole


def verify(storage: Path) -> None:
    """Print one line for every result.

    Raises:
        UserError: there is no result, or some are damaged.
    """
    console = PlainConsole(soft_wrap=True)
    results = list(complete(sorted(storage.glob("[!.]*/[!.]*/*"))))
    if not results:
        raise UserError(f"{storage.absolute()} holds no results; name another folder with --storage")
    damaged = 0
    for folder in results:
        with console.status(f"reading {folder}"):
            found = _state(storage, folder)
        damaged += found is not None and found.startswith("[red]")
        console.print(f"{escape(str(folder.relative_to(storage)))}  {found or 'intact'}")
    if damaged:
        raise UserError(
            f"{damaged} of {len(results)} results are damaged; `cosa run-experiment SPEC --force STAGE` makes a stage's again"
        )


def _state(storage: Path, folder: Path) -> str | None:
    """Return what is to be said about a result; None if it is what was made."""
    experiment, stage = folder.parts[-3:-1]
    damage = Storage(storage, experiment).damage_of(stage, folder, read_all=True)
    if damage is not None:
        return f"[red]{escape(damage)}[/]"
    try:
        manifest = read_manifest(folder)
    except DamagedResultError as error:  # It was intact a moment ago.
        return f"[red]{escape(str(error))}[/]"
    if manifest is None:
        return None
    if not manifest.contents:
        return "[dim]made before contents were listed; not verified[/]"
    listed = clips_list(folder)  # Frames have digests beside them, because they are read one by one.
    damage = StoredFrames.read(listed).damage() if listed is not None else None
    return f"[red]{escape(damage)}[/]" if damage is not None else None
