"""Says what results cost: time, devices and samples, from their manifests and the records of their trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from workflows.execution.progress import Record, read_records
from workflows.execution.trials import Trial, TrialBook
from workflows.execution.whereabouts import noted_workers
from workflows.results.inventory import StoredResult
from workflows.results.layout import TRIALS_FOLDER
from workflows.spec.sections import StageSection
from workflows.spec.stage_kinds import kind_of, recorded_section


@dataclass(frozen=True)
class Cost:
    """What a result cost. workers: how many worked at once on it, or on a trial of it. device_hours: time of all workers; a
    worker has one GPU, or shares the processors. samples: that training saw, in all trials; None if it trained nothing."""

    seconds: float
    workers: int
    device_hours: float
    samples: int | None


def cost_of(result: StoredResult) -> Cost | None:
    """Return what a result cost; None if its manifest cannot be read.

    The time of a sweep is that of its trials between their first and last records, because several may run at once. Trials that
    were taken over from an earlier sweep cost nothing.
    """
    manifest = result.manifest
    if manifest is None:
        return None
    section = recorded_section(manifest.kind, manifest.section)
    book = TrialBook.read(result.folder / TRIALS_FOLDER)
    if book.trials:
        return _of_sweep(manifest.seconds, section, book)
    workers = _largest(manifest.details.get("workers", []))
    steps = manifest.details.get("steps")
    samples = kind_of(section).samples_seen(section, int(steps)) if section is not None and steps is not None else None
    return Cost(manifest.seconds, workers, manifest.seconds * workers / 3600, samples)


def _of_sweep(seconds: float, section: StageSection | None, book: TrialBook) -> Cost:
    own = [trial for trial in book.trials if not trial.taken_from]
    records = {trial.name: read_records(book.folder_of(trial)) for trial in own}
    workers = {trial.name: _largest(noted_workers(book.folder_of(trial))) for trial in own}
    spans = sum(
        (found[-1].seconds - found[0].seconds) * workers[name] for name, found in records.items() if found
    )  # fmt: skip
    seen = [_samples(section, trial, records[trial.name]) for trial in own]
    counted = [one for one in seen if one is not None]
    return Cost(seconds, max(workers.values(), default=1), spans / 3600, sum(counted) if counted else None)


def _largest(groups: Sequence[Sequence[Any]]) -> int:
    """Return how many workers the largest group had; one where nobody noted it."""
    return max(map(len, groups), default=1)


def _samples(section: StageSection | None, trial: Trial, records: Sequence[Record]) -> int | None:
    """Return how many samples a trial saw, with its own batches."""
    if section is None:
        return None
    try:
        own = type(section).model_validate({**section.model_dump(), **trial.parameters, "sweep": None})
    except ValidationError:
        own = section
    steps = max((record.step for record in records if record.kind == "train"), default=0)
    return kind_of(own).samples_seen(own, steps)
