"""Defines what is sent to Ray workers, as plain data. This module imports nothing heavy, because the driver uses it, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cosa.data.dataset_files import DatasetFiles, DatasetShards
from cosa.data.split_reading import SplitReading
from cosa.extensions import Extension, load_extensions
from workflows.spec.stage_kinds import STAGE_KINDS


@dataclass(frozen=True)
class Job:
    """One training or evaluation as plain data.

    section: the stage's section. datasets: by name. checkpoint: folder of the weights to start from. model: configuration of a
    new model, when there is no checkpoint. folder: where worker 0 writes progress. extensions: what workers load first.
    """

    section: dict[str, Any]
    datasets: dict[str, DatasetFiles]
    seed: int
    folder: str
    checkpoint: str | None = None
    model: dict[str, Any] | None = None
    extensions: tuple[Extension, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return the job as data that JSON can hold."""
        plain = asdict(self)
        for dataset in plain["datasets"].values():
            dataset["unreadable"] = sorted(dataset["unreadable"])
        return plain

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Job:
        """Make a job from what `plain` returned, and load its extensions, since everything else may need them."""
        extensions = tuple(Extension(**extension) for extension in data["extensions"])
        load_extensions(extensions)
        datasets = {name: _dataset(plain) for name, plain in data["datasets"].items()}
        return cls(**{**data, "datasets": datasets, "extensions": extensions})

    @property
    def kind(self) -> Any:
        """Return the stage's kind."""
        return STAGE_KINDS[self.section["kind"]]

    def parsed(self) -> Any:
        """Return the section as an instance of its model."""
        return self.kind.section_for(self.section).model_validate(self.section)


def _dataset(plain: Mapping[str, Any]) -> DatasetFiles:
    reading = {split: SplitReading(**one) for split, one in plain["reading"].items()}
    shards = DatasetShards(**plain["shards"]) if plain["shards"] is not None else None
    return DatasetFiles(**{**plain, "unreadable": frozenset(plain["unreadable"]), "reading": reading, "shards": shards})
