"""What Ray workers are sent: plain data. Light to import, because the driver makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cosa.data.dataset_files import DatasetFiles
from cosa.extensions import load_extensions
from workflows.spec.stage_kinds import STAGE_KINDS


@dataclass(frozen=True)
class Job:
    """One training or evaluation as plain data.

    section: the stage's section. datasets: by name. checkpoint: folder of the weights to start from. model: configuration to
    build when there is none. folder: where worker 0 writes progress. extensions: files that workers load first.
    """

    section: dict[str, Any]
    datasets: dict[str, DatasetFiles]
    seed: int
    folder: str
    checkpoint: str | None = None
    model: dict[str, Any] | None = None
    extensions: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON-ready data."""
        plain = asdict(self)
        for dataset in plain["datasets"].values():
            dataset["unreadable"] = sorted(dataset["unreadable"])
        return plain

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Job:
        """Back from `plain`; loads the extensions, since everything else may need them."""
        load_extensions(data["extensions"])
        datasets = {
            name: DatasetFiles(**{**d, "unreadable": frozenset(d["unreadable"])}) for name, d in data["datasets"].items()
        }
        return cls(**{**data, "datasets": datasets})

    @property
    def kind(self) -> Any:
        """The stage's kind."""
        return STAGE_KINDS[self.section["kind"]]

    def parsed(self) -> Any:
        """The section as its model."""
        return self.kind.section_for(self.section).model_validate(self.section)
