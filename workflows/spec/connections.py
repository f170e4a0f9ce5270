"""Resolves the names in a spec while its stages are being connected."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.spec.place import FieldPath
from workflows.spec.problems import did_you_mean
from workflows.spec.sections import DatasetSection, ExperimentSection, StageSection
from workflows.spec.stage_kind import Report
from workflows.spec.stage_kinds import kind_of


@dataclass(frozen=True)
class Names:
    """All names that the spec defines.

    They include those of invalid stages and datasets, so that a reference to one of these is not reported as a second error.
    """

    stages: set[str]
    datasets: set[str]


class NamedStages:
    """Holds the valid parts of a spec. It implements `Connections`, with which reads look up names."""

    def __init__(self, section: ExperimentSection, stages: dict[str, StageSection], names: Names, report: Report):
        self.section, self.stages, self.names = section, stages, names
        self.report = report

    def check_datasets(self) -> None:
        """Report every `made_by` that does not name a stage which makes a dataset."""
        for name, dataset in self.section.datasets.items():
            if dataset.made_by is not None:
                self.expect_stage(dataset.made_by, ("datasets", name, "made_by"), "dataset", "a prepare stage")

    def has_stage(self, name: str) -> bool:
        """Return whether the spec defines a stage of this name, valid or not."""
        return name in self.names.stages

    def dataset(self, name: str, path: FieldPath) -> DatasetSection | None:
        """Look up a dataset by its name, which the spec has at a path; report a name that does not exist."""
        dataset = self.section.datasets.get(name)
        if dataset is None and name not in self.names.datasets:
            self.report(f"no dataset {name!r}{did_you_mean(name, self.section.datasets)}", *path)
        return dataset

    def expect_stage(self, name: str, path: FieldPath, product: str | None, what: str) -> bool:
        """Return whether a name, which the spec has at a path, is that of a valid stage with a product; report if it is not.

        product: what the stage must produce; None allows any kind. what: describes such a stage in the message.
        """
        if name not in self.names.stages:
            possible = self._candidates(path, product)
            known = did_you_mean(name, possible) if possible else f"; expected {what}"
            path_too = f"; a path needs a slash: ./{name}" if product == "checkpoint" else ""
            self.report(f"no stage {name!r}{known}{path_too}", *path)
            return False
        if name in self.stages and product is not None and kind_of(self.stages[name]).produces != product:
            self.report(f"stage {name!r} is of kind {self.stages[name].kind}; expected {what}", *path)
            return False
        return name in self.stages

    def _candidates(self, path: FieldPath, product: str | None) -> list[str]:
        """Return the stages, other than that which the path leads to, that make a product, or that are invalid and may."""
        others = [name for name in self.names.stages if ("stages", name) != path[:2]]
        return [
            name
            for name in others
            if product is None or name not in self.stages or kind_of(self.stages[name]).produces == product
        ]

    def frames_stages(self, dataset: str) -> list[str]:
        """Find the stages that extract frames of a dataset's clips; report if there is not exactly one."""
        found = [name for name, stage in self.stages.items() if kind_of(stage).frames_of(stage) == dataset]
        add = (
            f"add a stage {{kind: extract, dataset: {dataset}}}, or set datasets.{dataset}.frames, or "
            f"datasets.{dataset}.decode: online"
        )
        return self._one(dataset, found, "its clips are extracted by", f"no stage extracts frames of its clips; {add}")

    def index_stages(self, dataset: str) -> list[str]:
        """Find the stages that index a dataset's shards; report if there is not exactly one."""
        found = [name for name, stage in self.stages.items() if kind_of(stage).index_of(stage) == dataset]
        add = f"add a stage {{kind: index, dataset: {dataset}}}"
        return self._one(dataset, found, "its shards are indexed by", f"no stage indexes its shards; {add}")

    def _one(self, dataset: str, found: list[str], several: str, none: str) -> list[str]:
        """Return the stages that were found; report if they are several, or none."""
        invalid = self.names.stages - set(self.stages)
        if len(found) > 1:
            self.report(f"{several} {' and '.join(found)}; keep one", "datasets", dataset)
        elif not found and not invalid:
            self.report(none, "datasets", dataset)
        return found
