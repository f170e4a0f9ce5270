"""Says in few lines what has to be provided before an experiment can run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from cosa.checkpoints.locate import locate
from cosa.data.media_files import names_in
from workflows.planning.missing_clips import clip_lines
from workflows.results.layout import CHECKPOINT_FOLDER
from workflows.results.storage import complete
from workflows.spec.experiment import Experiment
from workflows.spec.read import Missing
from workflows.spec.stage_kinds import kind_of

MOST_COMPARED = 1000  # names that are compared letter by letter with a missing one
FOLDERS = 100  # folders in which a checkpoint is looked for
_VARIABLE = re.compile(r"\$\{env:(\w+)")
_NAMED_PATH = re.compile(r"\$\{paths\.([\w-]+)\}")


def missing_lines(found: Iterable[Missing], experiment: Experiment) -> tuple[str, ...]:
    """Return one line for each thing that is missing, or for each dataset whose entire folder is absent."""
    found = list(found)
    by_path: dict[Path, Missing] = {}
    for item in found:
        if item.media is None:
            by_path.setdefault(item.path.absolute(), item)
    groups: dict[str, list[Missing]] = {}
    for path, item in by_path.items():
        if item.dataset is None and any(by_path[folder].dataset is None for folder in path.parents if folder in by_path):
            continue  # What is in a folder that is missing is missing, too.
        groups.setdefault(item.dataset if item.dataset is not None else f"{item.field}", []).append(item)
    lines = [line for group in groups.values() for line in _lines(group, experiment)]
    return (*lines, *clip_lines([(item.field, item.media) for item in found if item.media is not None]))


def _lines(group: Sequence[Missing], experiment: Experiment) -> list[str]:
    folder = _absent_folder([item.path for item in group])
    if group[0].dataset is None or len(group) == 1 or folder is None:
        return [_line(item, experiment) for item in group]
    folders = [item.part for item in group if item.wanted == "folder"]
    splits = list(dict.fromkeys(item.part for item in group if item.wanted == "file"))
    contents = ", ".join([*folders, *([f"{_list(splits)} annotations"] if splits else [])])
    name = group[0].dataset
    fix = _ways_to_move(folder, experiment) or f"correct datasets.{name}"
    return [f"datasets.{name}: no folder {_place(folder)} ({contents}); put the data there or {fix}"]


def _line(item: Missing, experiment: Experiment) -> str:
    line = f"{item.field}: no {item.wanted} {_place(item.path)}"
    if item.wanted.startswith("shard"):  # Neighbours have similar names.
        return line
    if item.wanted != "checkpoint":
        named_alike = _named_alike(item.path.expanduser(), folder=item.wanted == "folder")
        if named_alike is not None:
            return f"{line}; is it {named_alike}?"
        fix = _ways_to_move(item.path, experiment) if _is_below_named_path(item.field, experiment) else ""
        return line + (f"; put the data there or {fix}" if fix else "")
    stage = _stage_at(item.path.expanduser(), experiment)
    if stage is not None:
        return f"{line}; write {stage} alone, which stands for the result that this spec has"
    near = _checkpoint_near(item.path.expanduser())
    if near is not None:
        return f"{line}; is it {near}?"
    fix = _ways_to_move(item.path, experiment) if _is_below_named_path(item.field, experiment) else ""
    return f"{line} (expected model.safetensors in it, or a published checkpoint)" + (f"; {fix}" if fix else "")


def _is_below_named_path(field: str, experiment: Experiment) -> bool:
    """Return whether a field is written with an entry of `paths`; a path in full goes nowhere else when that is changed."""
    source = experiment.source
    node = source.at(source.origin(tuple(field.split(".")))) if source is not None else None
    return node is not None and _NAMED_PATH.search(node.written or "") is not None


def _place(path: Path) -> str:
    """Say where a path leads, and that it is relative, if it is."""
    return str(path) if path.is_absolute() else f"{path.absolute()}, given relative to the working directory"


def _named_alike(path: Path, *, folder: bool) -> Path | None:
    """Return a folder, or else a file, of nearly the same name in the same folder; None if there is none."""
    names = sorted(names_in(path.parent))
    close = get_close_matches(path.name, names, cutoff=0.8) if len(names) <= MOST_COMPARED else []
    return next((other for other in map(path.with_name, close) if other.is_dir() == folder), None)


def _stage_at(path: Path, experiment: Experiment) -> str | None:
    """Return the stage of the experiment whose folder of results a path is; None if it is none."""
    folder = Path(experiment.section.storage).expanduser() / experiment.name
    is_of_stage = path.absolute().parent == folder.absolute() and path.name in experiment.stages
    return path.name if is_of_stage and kind_of(experiment.stages[path.name]).produces == "checkpoint" else None


def _checkpoint_near(path: Path) -> Path | None:
    """Return a checkpoint near a path; None if there is none.

    It may be one level above or below, which includes that of a result, or that of the newest of a stage's results.
    """
    below = sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []
    newest_first = sorted(complete(below), key=lambda result: result.stat().st_mtime, reverse=True)
    results = [result / CHECKPOINT_FOLDER for result in newest_first[:FOLDERS]]
    return next((folder for folder in (*below[:FOLDERS], *results, path.parent) if locate(folder) is not None), None)


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _absent_folder(paths: Sequence[Path]) -> Path | None:
    """Return the folder that should contain all the paths, if it does not exist."""
    try:
        common = Path(os.path.commonpath(paths))
    except ValueError:  # Relative and absolute paths have no common folder.
        return None
    return None if common == Path() or common.exists() else common


def _ways_to_move(path: Path, experiment: Experiment) -> str:
    """Say how to point a path elsewhere: by the environment variable and the entry of `paths` that it starts with."""
    starts = {
        name: Path(value).expanduser()
        for name, value in experiment.section.paths.items()
        if path.is_relative_to(Path(value).expanduser())
    }
    if not starts:
        return ""
    name = max(starts, key=lambda key: len(starts[key].parts))
    ways = [f"set {variable}" for variable in _variables(name, experiment)]
    return " / ".join([*ways, f"--set paths.{name}=FOLDER"])


def _variables(name: str, experiment: Experiment) -> list[str]:
    """Return the environment variables that an entry of `paths` refers to, directly or through other entries."""
    node = experiment.source.at(("paths", name)) if experiment.source is not None else None
    written = (node.written if node is not None else None) or ""
    inner = [variable for other in _NAMED_PATH.findall(written) for variable in _variables(other, experiment)]
    return list(dict.fromkeys([*_VARIABLE.findall(written), *inner]))
