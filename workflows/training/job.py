"""What Ray workers are sent: plain data. Light to import, because the driver makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cosa.data.dataset_files import DatasetFiles
from workflows.spec.sections import EvaluateSection, FinetuneSection, PretrainSection, StageSection

SECTIONS: dict[str, type[StageSection]] = {
    "pretrain": PretrainSection,
    "finetune": FinetuneSection,
    "evaluate": EvaluateSection,
}


@dataclass(frozen=True)
class Job:
    """One training or evaluation as plain data.

    section: the stage's section. datasets: by name. checkpoint: folder of the weights to start from. model: configuration to
    build when there is none. folder: where worker 0 writes progress.
    """

    section: dict[str, Any]
    datasets: dict[str, DatasetFiles]
    seed: int
    folder: str
    checkpoint: str | None = None
    model: dict[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON-ready data."""
        plain = asdict(self)
        for dataset in plain["datasets"].values():
            dataset["unreadable"] = sorted(dataset["unreadable"])
        return plain

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Job:
        """Back from `plain`."""
        datasets = {
            name: DatasetFiles(**{**d, "unreadable": frozenset(d["unreadable"])}) for name, d in data["datasets"].items()
        }
        return cls(**{**data, "datasets": datasets})

    def parsed(self) -> StageSection:
        """The section as its model."""
        return SECTIONS[self.section["kind"]].model_validate(self.section)
