"""Names the checkpoints that a Ray Train run saves in its folder, finds out which are intact, and copies their models."""

from __future__ import annotations

import errno
import json
import posixpath
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from cosa.checkpoints.settings import SETTINGS
from cosa.checksums import DamagedFolderError, check_checksums
from workflows.execution.run_folder import RunFolder

OTHERS_FOLDER = "checkpoints"
SNAPSHOT = "checkpoint_manager_snapshot.json"  # Ray Train's list of a run's checkpoints
_NAME = re.compile(r"checkpoint_(?P<step>\d{8})(?P<suffix>(?:_\d+)?)")


def checkpoint_name(step: int, suffix: str = "") -> str:
    """Name the folder of the checkpoint after a step. A repeated step has the same name, so that nothing is left over.

    suffix: distinguishes repeated steps from those whose checkpoint was damaged, which Ray still lists.
    """
    return f"checkpoint_{step:08d}{suffix}"


def suffix_of(name: str) -> str:
    """Return what follows the step in a checkpoint's name: nothing, _1, _2, ..."""
    match = _NAME.fullmatch(name)
    assert match is not None, f"{name} is not the name of a checkpoint"
    return match["suffix"]


def next_suffix(run: RunFolder) -> str:
    """Return a suffix that no checkpoint of a run has."""
    used = [int(suffix_of(name)[1:] or 0) for name in _checkpoints(run)]
    return f"_{1 + max(used, default=0)}"


def up_to(run: RunFolder, latest: str | None) -> list[str]:
    """Return a checkpoint and those of its run that were saved before it, the newest first; all of them for None."""
    return sorted((name for name in _checkpoints(run) if latest is None or name <= latest), reverse=True)


def _checkpoints(run: RunFolder) -> list[str]:
    return [name for name in run.names() if _NAME.fullmatch(name)]


def latest_intact(run: RunFolder, latest: str | None) -> tuple[str | None, list[str]]:
    """Return the name of the newest intact checkpoint up to `latest`, if there is any, and warnings about damaged newer ones.

    latest: the one that Ray knows; None if it knows of none, because training is new or because Ray's books were lost.
    """
    warnings: list[str] = []
    for candidate in up_to(run, latest):
        damage = damage_of(run, candidate)
        if damage is None:
            return candidate, warnings
        warnings.append(damage)
    if warnings:
        warnings.append("no checkpoint is intact: training starts again from its first step")
    return None, warnings


def damage_of(run: RunFolder, name: str) -> str | None:
    """Read all of a checkpoint and say what is wrong with it; None if nothing is."""
    try:
        with run.opened(name) as folder:
            return _damage(folder, run.address(name))
    except FileNotFoundError:  # A bucket has no empty folders.
        return f"checkpoint {run.address(name)} is gone"


def _damage(folder: Path, address: str) -> str | None:
    """Say what is wrong with the files of a checkpoint, which is at `address`."""
    try:
        check_checksums(folder)
    except DamagedFolderError as error:
        return str(error).replace(str(folder), address)
    return None


def require_intact(folder: Path, address: str) -> None:
    """Read all of a checkpoint that was just written to `address`.

    Raises:
        OSError: it differs from what was written. This is not a user's mistake: training resumes from the previous checkpoint.
    """
    damage = _damage(folder, address)
    if damage is not None:
        raise OSError(errno.EIO, f"read back after writing: {damage}; check the disk or the store")


def saved_checkpoints(run: RunFolder) -> dict[int, str]:
    """Return names of the checkpoints in a run's folder, by step. Ray's books are not asked, since they may be damaged."""
    found = {}
    for name in sorted(_checkpoints(run)):
        match = _NAME.fullmatch(name)
        assert match is not None
        found[int(match["step"])] = name  # Of two checkpoints of a step the later one is right: the earlier one was damaged.
    return found


def discard_damaged_book(run: RunFolder) -> str | None:
    """Remove Ray's list of a run's checkpoints if it cannot be used: Ray could not even start. Workers find them by name.

    Ray does not write it atomically, and never flushes it, so that a loss of power leaves an empty file.

    Returns:
        a warning, if it was removed.
    """
    path = posixpath.join(run.path, SNAPSHOT)
    try:
        with run.filesystem.open_input_stream(path) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    try:
        listed = {result["checkpoint_dir_name"] for result in json.loads(content)["checkpoint_results"]}
    except (ValueError, KeyError, TypeError):
        listed, what = set(), "cannot be read"
    else:
        gone = sorted(listed - set(run.names()))
        if not gone:
            return None
        what = f"lists {gone[0]}, which is gone"
    run.filesystem.delete_file(path)
    return f"{run.address(SNAPSHOT)} {what}; training resumes from the newest intact checkpoint in its folder, if there is one"


def intact_checkpoints(run: RunFolder, warn: Callable[[str], None]) -> dict[int, str]:
    """Return the `saved_checkpoints` that are intact; `warn` is called for the others."""
    intact = {}
    for step, name in saved_checkpoints(run).items():
        damage = damage_of(run, name)
        if damage is None:
            intact[step] = name
        else:
            warn(f"{damage}; it is left out")
    return intact


def copy_model(run: RunFolder, name: str, target: Path) -> None:
    """Copy the model of a checkpoint to a folder, which is replaced, without the training state."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with run.opened(name) as source:
        for file in ("model.safetensors", "config.json", "vocab.txt"):
            shutil.copy2(source / file, target / file)
        if (source / SETTINGS).is_file():  # Training that was interrupted before settings were saved has none.
            shutil.copy2(source / SETTINGS, target / SETTINGS)


def copy_other_models(run: RunFolder, saved: Mapping[int, str], steps: Collection[int], folder: Path) -> Path | None:
    """Copy the models of further checkpoints to `checkpoints/step_<number>` in a folder, for MLflow.

    Args:
        run: the checkpoints' run.
        saved: names of its checkpoints by step.
        steps: those to copy; steps without a saved checkpoint are left out.
        folder: of the stage or trial.

    Returns:
        the folder `checkpoints`; None if there is nothing to copy.
    """
    target = folder / OTHERS_FOLDER
    shutil.rmtree(target, ignore_errors=True)
    chosen = sorted(set(steps) & set(saved))
    if not chosen:
        return None
    target.mkdir()
    for step in chosen:
        copy_model(run, saved[step], target / f"step_{step:08d}")
    return target
