"""Says how small stages are in a smoke test, which only shows that all of an experiment runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SMOKE_BATCH = 8  # enough for hard negatives and for four concatenated samples
SMOKE_STEPS = 2
SMOKE_FRAMES = 2


def small_samples(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return those fields of samples that a stage or a corpus sets, with small values. data: its fields, not yet checked."""
    small: dict[str, Any] = {
        name: min(value, SMOKE_FRAMES) for name in ("train_frames", "eval_frames") if isinstance(value := data.get(name), int)
    }
    for name in ("resolution", "streams"):  # The model section says a small one, and streams need as many shards.
        if name in data:
            small[name] = None
    if "eval_batch_size" in data:
        small["eval_batch_size"] = SMOKE_BATCH
    return small


def entries_of(spec: Mapping[str, Any], section: str) -> dict[str, dict[str, Any]]:
    """Return the stages or datasets of a spec by name, without what is no mapping. spec: plain values, not yet checked."""
    entries = spec.get(section)
    return {name: one for name, one in entries.items() if isinstance(one, dict)} if isinstance(entries, dict) else {}
