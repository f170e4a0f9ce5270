"""Notes that a run would begin a new storage folder, although there is one where the spec is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workflows.planning.plan import Plan
from workflows.results.layout import MANIFEST

LEVELS = 3  # folders above a spec in which its storage may be, if no repository ends before


def storage_notes(plan: Plan) -> Iterator[str]:
    """Yield a note if the storage is relative to the working directory and not there, but is in a folder above the spec."""
    given, spec = Path(plan.experiment.section.storage).expanduser(), plan.experiment.file.absolute()
    if given.is_absolute() or given.is_dir():
        return
    for folder in spec.parents[:LEVELS]:
        other = folder / given
        if any(other.glob(f"[!.]*/[!.]*/*/{MANIFEST}")):
            yield f"results go to a new storage, {given.absolute()}; to use those in {other} give --storage {other}"
            return
        if (folder / ".git").exists():
            return
