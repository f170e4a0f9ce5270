"""`cosa clean` removes what nothing needs any more, after it has shown it and asked."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.markup import escape
from rich.padding import Padding

from cosa.errors import UserError
from workflows.commands.listing import headline_of
from workflows.results.cleaning import (
    FRAMES_AMOUNT,
    SUPERSEDED,
    UNFINISHED,
    Choice,
    Cleaning,
    Removable,
    amount_of_frames,
    remove,
    what_to_remove,
    with_same_paths,
)
from workflows.results.inventory import Inventory, StoredResult
from workflows.results.layout import FRAME_STORE, STORAGE_NOTE
from workflows.results.locks import HeldError
from workflows.results.sizes import bytes_text, freed_by_removing, size_of
from workflows.results.uses import cleaning, used_by_runs
from workflows.spec.problems import UsageError, did_you_mean
from workflows.spec.secrets import Secrets
from workflows.terminal.console import PlainConsole, print_fields

AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([mhdw])")
SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
STAYS = (
    "MLflow keeps its runs, artifacts and registered models; where a server has only the path of a checkpoint, that path will "
    "lead nowhere"
)


@dataclass(frozen=True)
class Line:
    """Something that can be removed, for people. count: how many things of the same kind a line stands for."""

    what: str
    name: str
    size: int
    note: str
    path: str
    count: int = 1


def clean(
    storage: Path,
    *,
    experiment: str | None = None,
    older_than: str | None = None,
    dry_run: bool = False,
    yes: bool = False,
    as_json: bool = False,
) -> None:
    """Show what nothing needs, ask, and remove it.

    Args:
        storage: folder of results.
        experiment: only what is its own; None means all.
        older_than: an age, such as 30d; None means any.
        dry_run: whether only to show it.
        yes: whether not to ask.
        as_json: whether to print the list for programs.

    Raises:
        UsageError: there is no such experiment, or the age is none.
        UserError: nobody can be asked, or a run is beginning.
    """
    choice = Choice(experiment, None if older_than is None else time.time() - age_in_seconds(older_than))
    if not storage.is_dir():
        raise UserError(f"{storage.absolute()} does not exist; name another folder with --storage")
    found = _look(storage, choice)
    console = PlainConsole()
    freed, linked = freed_by_removing(item.path for item in found.removable)
    _show(console, storage, found, as_json=as_json, total=(freed, linked))
    if dry_run or not found.removable:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("nothing was removed, because nobody can be asked here; give --yes to remove it, or --dry-run")
        if not typer.confirm(f"Remove it and free {bytes_text(freed)}?", err=True):
            print("nothing was removed", file=sys.stderr)
            return
    left = _remove(storage, choice, found.removable)
    for line in left:
        PlainConsole(stderr=True).print(f"[yellow]left:[/] {escape(line)}", soft_wrap=True)
    if not as_json:
        console.print(f"removed {len(found.removable) - len(left)} of {len(found.removable)} things", soft_wrap=True)


def age_in_seconds(text: str) -> float:
    """Return an age in seconds.

    Raises:
        UsageError: it is none.
    """
    found = AGE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--older-than {text}: expected a number and m, h, d or w, such as 30d")
    return float(found[1]) * SECONDS[found[2]]


def _look(storage: Path, choice: Choice) -> Cleaning:
    """List what can be removed now."""
    folders = {folder.name for folder in storage.glob("[!.]*") if folder.is_dir()}
    if choice.experiment is not None and choice.experiment not in folders:
        known = did_you_mean(choice.experiment, Inventory.of(storage).experiments)
        raise UsageError(f"--experiment {choice.experiment}: no such experiment{known}")
    try:
        with cleaning(storage):
            return what_to_remove(storage, used_by_runs(storage), choice)
    except HeldError as error:
        raise UserError(f"{error}, which is just beginning or cleaning; try again") from error


def _remove(storage: Path, choice: Choice, wanted: Sequence[Removable]) -> list[str]:
    """Remove what was shown, but for what a run has begun to use since."""
    try:
        with cleaning(storage):
            now = what_to_remove(storage, used_by_runs(storage), choice)
            still = with_same_paths(wanted, now.removable)
            gone = {item.path for item in wanted} - {item.path for item in still}
            return [f"{path} is needed now, or gone" for path in sorted(gone)] + remove(storage, still, _remove_elsewhere)
    except HeldError as error:
        raise UserError(f"{error}, which is just beginning or cleaning; nothing was removed; try again") from error


def _remove_elsewhere(folder: Path) -> None:
    """Remove what unfinished work has saved in a bucket."""
    if (folder / STORAGE_NOTE).is_file():
        from workflows.execution.checkpoint_storage import remove_checkpoints

        remove_checkpoints(folder, lambda text: print(f"warning: {text}", file=sys.stderr))


def _show(console: PlainConsole, storage: Path, found: Cleaning, *, as_json: bool, total: tuple[int, int]) -> None:
    lines = _described(storage, found.removable)
    freed, linked = total
    if as_json:
        shown = {
            "removable": [line.__dict__ for line in lines],
            "freed": freed,
            "linked_elsewhere": linked,
            "left": list(found.left),
        }
        print(json.dumps(Secrets.of_process().hide_in(shown), indent=2))
        return
    if console.is_terminal:
        _show_to_person(console, lines, freed, linked)
    else:
        print_fields((line.what, line.path, str(line.size), str(line.count), line.name, line.note) for line in lines)
    for note in found.left:
        console.print(f"[yellow]left:[/] {escape(note)}", soft_wrap=not console.is_terminal)


def _show_to_person(console: PlainConsole, lines: Sequence[Line], freed: int, linked: int) -> None:
    if not lines:
        console.print("nothing to remove: whatever is there is current, or something current was made from it")
        return
    for line in lines:
        console.print(Padding.indent(f"[bold]{escape(line.name)}[/]  {bytes_text(line.size)}", 2))
        console.print(Padding.indent(f"[dim]{line.what}  {escape(line.note)}[/]", 6))
    more = f"; {bytes_text(linked)} more stay, because MLflow has the same files" if linked else ""
    console.print(f"removing this frees [bold]{bytes_text(freed)}[/]{more}")
    if any(line.what == SUPERSEDED for line in lines):
        console.print(f"[dim]{STAYS}[/]")


def _described(storage: Path, items: Sequence[Removable]) -> list[Line]:
    """Describe things for people; frames of many clips are one line."""
    lines = []
    for item in items:
        if item.what not in FRAMES_AMOUNT:
            name = str(item.path.relative_to(storage))
            lines.append(Line(item.what, name, size_of(item.path), _note(item), str(item.path)))
    for kind in FRAMES_AMOUNT:
        if amount := amount_of_frames(kind, items):
            paths = [item.path for item in items if item.what == kind]
            size = sum(map(size_of, paths))
            lines.append(Line(kind, amount, size, "no result lists them", str(storage / FRAME_STORE), len(paths)))
    return lines


def _note(item: Removable) -> str:
    """Say when something was written and, of a result, what it reached, and what is lost with unfinished work."""
    when = time.strftime("%Y-%m-%d", time.localtime(item.written)) if item.written else ""
    manifest = StoredResult.at(item.path).manifest if item.what == SUPERSEDED else None
    figures = headline_of(manifest) if manifest is not None else ""
    lost = "a run of its spec would resume it" if item.what == UNFINISHED else ""
    return "  ".join(filter(None, (when, figures, lost)))
