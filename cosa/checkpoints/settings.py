"""What a checkpoint was trained with, as far as evaluation has to know: task, frames, transforms, text lengths, generation."""

import json
from pathlib import Path
from typing import Any

from cosa.checkpoints.locate import NativeFolder, locate
from cosa.errors import UserError
from cosa.regular_files import read_regular

SETTINGS = "settings.json"


def read_settings(checkpoint: Path) -> dict[str, Any] | None:
    """The settings beside the weights of a checkpoint, by field; None where there are none.

    Checkpoints that were made before, those of the published code, and those saved by `save_checkpoint` alone have none.

    Raises:
        UserError: the file is damaged.
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
    return settings
