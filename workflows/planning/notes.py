"""Collects what a plan notes: what is allowed, but worth knowing before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workflows.planning.annotation_notes import annotation_notes
from workflows.planning.other_storage import storage_notes
from workflows.planning.plan import Plan
from workflows.spec.hub_weights import fetched_weights


def notes_of(plan: Plan) -> tuple[str, ...]:
    """Return all notes, apart from those that the spec alone gives rise to."""
    return (*annotation_notes(plan), *storage_notes(plan), *_hub_notes(plan))


def _hub_notes(plan: Plan) -> Iterator[str]:
    """Note weights that the hub's cache on this machine does not hold yet."""
    from huggingface_hub import constants

    starting = next((step for step in plan.to_run if step.model is not None), None)
    if starting is None:
        return
    cache = Path(constants.HF_HUB_CACHE)
    names = [repr(name) for name in fetched_weights(plan.experiment.section.model) if not _is_cached(name, cache)]
    if names:
        yield f"{starting.name} fetches the weights of {' and '.join(names)} from {constants.ENDPOINT}: none are here yet"


def _is_cached(name: str, cache: Path) -> bool:
    """Return whether the cache holds weights of a name: those of timm's models have a tag, and some names an owner."""
    return any(cache.glob(f"models--{name.replace('/', '--')}")) or any(cache.glob(f"models--*--{name.partition('.')[0]}*"))
