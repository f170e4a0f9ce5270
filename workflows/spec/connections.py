"""The names that a spec gives, and what they stand for, while its stages are being connected."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.spec.errors import did_you_mean
from workflows.spec.sections import DatasetSection, ExperimentSection, StageSection
from workflows.spec.stage_kind import Report
from workflows.spec.stage_kinds import kind_of

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Names:
    """All names that the spec gives.

    Also of stages and datasets that are invalid themselves: a reference to one of those is not reported too.
    """

    stages: set[str]
    datasets: set[str]


class NamedStages:
    """The valid parts of a spec: `Connections` of what stages read."""

    def __init__(self, section: ExperimentSection, stages: dict[str, StageSection], names: Names, report: Report):
        self.section, self.stages, self.names = section, stages, names
        self.report = report

    def check_datasets(self) -> None:
        """Report stages that should make datasets and do not."""
        for name, dataset in self.section.datasets.items():
            if dataset.made_by is not None:
                self.expect_stage(dataset.made_by, ("datasets", name, "made_by"), "dataset", "a prepare stage")

    def has_stage(self, name: str) -> bool:
        """Whether there is such a stage."""
        return name in self.names.stages

    def dataset(self, name: str, path: FieldPath) -> DatasetSection | None:
        """A dataset by its name, which stands at a path; reports one that is not there."""
        dataset = self.section.datasets.get(name)
        if dataset is None and name not in self.names.datasets:
            self.report(f"no dataset {name!r}{did_you_mean(name, self.section.datasets)}", *path)
        return dataset

    def expect_stage(self, name: str, path: FieldPath, product: str | None, what: str) -> bool:
        """Whether a name, which stands at a path, is that of a valid stage that gives something; reports if it is not."""
        if name not in self.names.stages:
            self.report(f"no stage {name!r}{did_you_mean(name, self.names.stages)}", *path)
            return False
        if name in self.stages and product is not None and kind_of(self.stages[name]).produces != product:
            self.report(f"stage {name!r} is of kind {self.stages[name].kind}; expected {what}", *path)
            return False
        return name in self.stages

    def frames_stages(self, dataset: str) -> list[str]:
        """The stage that makes the frames of a dataset's clips; reports if there is not exactly one."""
        found = [name for name, stage in self.stages.items() if kind_of(stage).frames_of(stage) == dataset]
        invalid = self.names.stages - set(self.stages)
        if len(found) > 1:
            self.report(f"its clips are extracted by {' and '.join(found)}; keep one", "datasets", dataset)
        elif not found and not invalid:
            self.report(
                f"nothing makes frames of its clips; add a stage {{kind: extract, dataset: {dataset}}}, or give "
                f"datasets.{dataset}.frames",
                *("datasets", dataset),
            )
        return found
