"""Checkpoints that a Ray Train run leaves in its folder: their names, which are whole, which one is kept as a result."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

OTHERS_FOLDER = "checkpoints"
_NAME = re.compile(r"checkpoint_(?P<step>\d{8})(?P<suffix>(?:_\d+)?)")


def checkpoint_name(step: int, suffix: str = "") -> str:
    """Folder of the checkpoint after a step: the same again when a step is repeated, so that nothing is left over.

    suffix: tells repeated steps apart from those whose checkpoint was damaged, which Ray still has in its books.
    """
    return f"checkpoint_{step:08d}{suffix}"


def suffix_of(checkpoint: Path) -> str:
    """What stands behind the step in a checkpoint's name: nothing, _1, _2, ..."""
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None, f"{checkpoint} is not named as a checkpoint"
    return match["suffix"]


def next_suffix(run: Path) -> str:
    """One that no checkpoint of a run has."""
    used = [int(suffix_of(path)[1:] or 0) for path in _checkpoints(run)]
    return f"_{1 + max(used, default=0)}"


def up_to(latest: Path) -> list[Path]:
    """A checkpoint and those of its run that were saved before it, the newest first."""
    return sorted((path for path in _checkpoints(latest.parent) if path.name <= latest.name), reverse=True)


def _checkpoints(run: Path) -> list[Path]:
    return [path for path in run.iterdir() if _NAME.fullmatch(path.name)]


def latest_whole(latest: Path) -> tuple[str | None, list[str]]:
    """Name of the newest checkpoint up to `latest` that is whole, and what is to be said of newer ones."""
    from cosa.training.state import DamagedStateError, check_state

    warnings = []
    for candidate in up_to(latest):
        try:
            check_state(candidate)
        except DamagedStateError as error:
            warnings.append(str(error))
        else:
            return candidate.name, warnings
    return None, [*warnings, "no checkpoint is whole: training starts again from its first step"]


def kept_checkpoints(run: Path) -> dict[int, Path]:
    """Folders of the complete checkpoints of a run that Ray keeps, by step; none if it has saved none yet."""
    from ray.train import Result

    try:
        kept = Result.from_path(str(run)).best_checkpoints
    except RuntimeError:  # the run's folder holds no snapshot
        return {}
    found = sorted((int(metrics["step"]), checkpoint.path) for checkpoint, metrics in kept or [])
    return {step: Path(path) for step, path in found}  # of one step the last: the one before was damaged


def whole_checkpoints(run: Path, warn: Callable[[str], None]) -> dict[int, Path]:
    """`kept_checkpoints` that were read through; of damaged ones `warn` is told."""
    from cosa.training.state import DamagedStateError, check_state

    whole = {}
    for step, folder in kept_checkpoints(run).items():
        try:
            check_state(folder)
            whole[step] = folder
        except DamagedStateError as error:
            warn(f"{error}; it is left out")
    return whole


def keep_checkpoint(source: Path, target: Path) -> None:
    """Copy the model of a checkpoint to a folder, which is replaced, without the training state."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("model.safetensors", "config.json", "vocab.txt"):
        shutil.copy2(source / name, target / name)


def keep_others(kept: Mapping[int, Path], steps: Collection[int], folder: Path) -> Path | None:
    """Copy the models of further checkpoints to `checkpoints/step_<number>` in a folder, for MLflow.

    Args:
        kept: checkpoints by step.
        steps: those to copy; of these, what is not kept is left out.
        folder: of the stage or trial.

    Returns:
        the folder `checkpoints`; None if there is nothing to copy.
    """
    target = folder / OTHERS_FOLDER
    shutil.rmtree(target, ignore_errors=True)
    chosen = sorted(set(steps) & set(kept))
    if not chosen:
        return None
    target.mkdir()
    for step in chosen:
        keep_checkpoint(kept[step], target / f"step_{step:08d}")
    return target
