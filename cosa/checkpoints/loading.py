"""One call for every kind of checkpoint: ours, or a published one."""

import logging
from pathlib import Path

from cosa.checkpoints.locate import EXPECTED, NativeFolder, locate
from cosa.checkpoints.native import load_checkpoint
from cosa.checkpoints.published import import_published
from cosa.checkpoints.published_names import UNKNOWN, ImportReport
from cosa.errors import UserError
from cosa.model import COSA

_LOG = logging.getLogger(__name__)


def load_model(path: Path, *, resolution: int | None = None, frame_positions: int | None = None) -> COSA:
    """Build the model of a checkpoint, on the CPU; positions are interpolated to the numbers asked for.

    Args:
        path: a folder of ours, a published folder, or a published file.
        resolution: side of the input image, pixels; left out: the checkpoint's.
        frame_positions: number of frame embeddings; left out: the checkpoint's.

    Raises:
        UserError: nothing of the kind is there, it is damaged, or its sizes have to be given (`cosa import-checkpoint`).
    """
    found = locate(path)
    if found is None:
        raise UserError(f"{path.resolve()} is no checkpoint; expected {EXPECTED}")
    if isinstance(found, NativeFolder):
        return load_checkpoint(found.folder, resolution=resolution, frame_positions=frame_positions)
    model, report = import_published(found, resolution=resolution, frame_positions=frame_positions)
    log_report(report)
    return model


def log_report(report: ImportReport) -> None:
    """Log what became of the keys; loudly if some are unknown."""
    _LOG.log(logging.WARNING if UNKNOWN in report.unused.values() else logging.INFO, "\n".join(report.lines()))
