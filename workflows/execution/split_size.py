"""Says on how much a metric is measured: a figure means little without it."""

from __future__ import annotations

from typing import Any

from cosa.data.dataset_files import DatasetFiles
from cosa.tasks.task import Task


def split_size(task: Task[Any], dataset: DatasetFiles, split: str, settings: Any) -> str:
    """Say how many clips or images a task looks at in a split, of how many if the spec chooses a part, and how many texts."""
    references = task.references(dataset, split, settings)
    clips = len(set(task.media_ids(references)))
    what = "clip" if dataset.media == "video" else "image"
    part = dataset.part_of(split, task.annotations)
    return ", ".join(filter(None, (f"{clips} {what}{'' if clips == 1 else 's'}{part}", task.texts(references))))
