"""What is compared: columns, each with a result of every stage, and what became of a row in each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workflows.planning.step import Step
from workflows.results.inventory import Inventory, StoredResult
from workflows.results.manifest import Manifest

NOTHING = "–"  # what stands where a column has no value


@dataclass(frozen=True)
class Column:
    """One of several things that are compared: an experiment, a spec, or a single result.

    label: what stands above it, different for every column. name: as it was given. results: by stage. steps: of a spec's plan.
    absent: why stages of a spec have no result. is_single: whether it stands for one result, whatever its stage is called.
    """

    label: str
    name: str
    inventory: Inventory
    results: Mapping[str, StoredResult]
    steps: Mapping[str, Step] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    is_single: bool = False

    @property
    def stages(self) -> list[str]:
        """Return the stages in the order of the spec, or in that in which they were made."""
        return list(self.steps) or list(self.results)


@dataclass(frozen=True)
class Cell:
    """A stage of a column. result: None if there is none yet; then why says why, and step what the spec says."""

    stage: str
    result: StoredResult | None
    step: Step | None = None
    why: str = ""

    @property
    def manifest(self) -> Manifest | None:
        """Return the manifest of the result."""
        return self.result.manifest if self.result is not None else None

    @property
    def section(self) -> Mapping[str, Any]:
        """Return the resolved section as data; nothing where neither result nor spec says it."""
        if self.manifest is not None:
            return self.manifest.section
        return self.step.section.model_dump(mode="json") if self.step is not None else {}

    @property
    def kind(self) -> str:
        """Return the kind of the stage; empty if it is not known."""
        return str(self.section.get("kind", ""))


def cell_of(column: Column, stage: str) -> Cell | None:
    """Return a stage of a column; None if it has no such stage."""
    result, step = column.results.get(stage), column.steps.get(stage)
    if result is None and step is None:
        return None
    return Cell(stage, result, step, column.absent.get(stage, ""))
