"""One stage of a plan: what happens to it, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from workflows.spec.sections import StageSection

Action = Literal["run", "skip", "blocked", "left out"]


@dataclass(frozen=True)
class Step:
    """One stage of the plan.

    fingerprint: identifies the result; None if something it needs is missing. reason: why it runs or is skipped. resumes: it
    continues interrupted work. changes: everything that differs from its nearest result, if it runs because of that. forced: it
    runs although its result exists. damaged: what is wrong with its result, if it runs because of that. reuses: what of it is
    there already.
    """

    name: str
    section: StageSection
    action: Action
    reason: str
    fingerprint: str | None
    inputs: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    seed: int = 0
    version: int = 1
    resumes: bool = False
    forced: bool = False
    damaged: str | None = None
    changes: tuple[str, ...] = ()
    reuses: str = ""

    @property
    def starts_over(self) -> bool:
        """Return whether a result that exists is set aside for a new one."""
        return self.forced or self.damaged is not None

    @property
    def kind(self) -> str:
        """Return the kind of the stage."""
        return self.section.kind
