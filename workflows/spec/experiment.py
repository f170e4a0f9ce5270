"""Holds a checked spec."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cosa.extensions import Extension
from workflows.spec.sections import ExperimentSection, StageSection
from workflows.spec.source import YamlNode


@dataclass(frozen=True)
class Experiment:
    """A checked spec. `stages` are in an order in which they can run, with inherited fields filled in.

    inputs: for each stage, the stages whose results it reads. frames, indexes: stages that extract frames, and that index
    shards, by dataset. warnings: what is allowed but worth knowing. source: the spec as it was read, with places. groups: the
    stages that a matrix expanded into, by the name of the stage that has the matrix. extensions: the files that were loaded for
    it.
    """

    section: ExperimentSection
    stages: dict[str, StageSection]
    inputs: dict[str, tuple[str, ...]]
    file: Path
    frames: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    source: YamlNode | None = field(default=None, compare=False, repr=False)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    extensions: tuple[Extension, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the experiment."""
        return self.section.name

    def stages_named(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return names of stages, in which the name of a stage with a matrix is replaced by those that it expanded into."""
        return tuple(stage for name in names for stage in self.groups.get(name, (name,)))

    def frames_stage(self, dataset: str) -> str:
        """Return the stage that extracts a dataset's frames."""
        return self.frames[dataset]

    def index_stage(self, dataset: str) -> str:
        """Return the stage that indexes a dataset's shards."""
        return self.indexes[dataset]

    def same_split(self, dataset: str, one: str, other: str) -> bool:
        """Return whether two splits of a dataset are the same, by name or because they have the same files."""
        if one == other:
            return True
        section = self.section.datasets.get(dataset)
        return section is not None and one in section.splits and section.splits[one] == section.splits.get(other)
