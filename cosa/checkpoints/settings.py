"""What a checkpoint was trained with, as far as evaluation has to know: task, frames, transforms, text lengths, generation."""

import json
from pathlib import Path
from typing import Any

from cosa.checkpoints.locate import NativeFolder, locate
from cosa.checkpoints.origin import Origin
from cosa.errors import UserError
from cosa.regular_files import read_regular
from cosa.section import checked

SETTINGS, ORIGIN = "settings.json", "origin"
SPEC = "spec.json"  # beside them: the spec of the experiment that trained the checkpoint


def read_settings(checkpoint: Path) -> dict[str, Any] | None:
    """The settings beside the weights of a checkpoint, by field; None where there are none.

    Checkpoints that were made before, those of the published code, and those saved by `save_checkpoint` alone have none.

    Raises:
        UserError: the file is damaged, or its `origin` is none.
    """
    found = locate(checkpoint)
    if not isinstance(found, NativeFolder):
        return None
    path = found.folder / SETTINGS
    try:
        settings = json.loads(read_regular(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); copy it again from where the checkpoint comes from") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path}: expected a mapping of fields, found {type(settings).__name__}")
    if ORIGIN in settings:
        _check_origin(settings[ORIGIN], path)
    return settings


def read_origin(checkpoint: Path) -> Origin:
    """Where a checkpoint comes from, as far as it is recorded beside its weights.

    Raises:
        UserError: as `read_settings`.
    """
    return Origin.model_validate((read_settings(checkpoint) or {}).get(ORIGIN, {}))


def _check_origin(origin: Any, path: Path) -> None:
    advice = f"; copy {SETTINGS} again from where the checkpoint comes from"
    if not isinstance(origin, dict):
        raise UserError(f"{path}: {ORIGIN}: expected a mapping of fields, found {json.dumps(origin)[:60]}{advice}")
    try:
        checked(Origin, origin, f"{path}: {ORIGIN}.")
    except UserError as error:
        raise UserError(f"{error}{advice}") from error
