"""The size of trials: stages that only show that all of an experiment runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRIAL_BATCH = 8  # enough for hard negatives and for four concatenated samples
TRIAL_STEPS = 2
TRIAL_FRAMES = 2


def trial_of_clips(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of clips that a stage names, with small values. data: its fields, which nobody has checked yet."""
    small: dict[str, Any] = {
        name: min(value, TRIAL_FRAMES) for name in ("train_frames", "eval_frames") if isinstance(value := data.get(name), int)
    }
    if "resolution" in data:
        small["resolution"] = None  # That of the model section, which is small in a trial.
    if "eval_batch_size" in data:
        small["eval_batch_size"] = TRIAL_BATCH
    return small
