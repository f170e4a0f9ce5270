"""One stage of a plan: what happens to it, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from workflows.spec.read import Found
from workflows.spec.sections import StageSection

Action = Literal["run", "skip", "blocked", "left out"]


@dataclass(frozen=True)
class Step:
    """One stage of the plan.

    fingerprint: identifies the result; None if something it needs is missing. read: of the user's own, by a readable name.
    reason: why it runs or is skipped. resumes: it continues interrupted work. changes: everything that differs from its nearest
    result, the reason first, if it runs because of that. forced: it runs although its result exists. damaged: what is wrong
    with its result, if it runs because of that. reuses: what of it is there already.
    """

    name: str
    section: StageSection
    action: Action
    reason: str
    fingerprint: str | None
    inputs: dict[str, str] = field(default_factory=dict)
    read: dict[str, Found] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    seed: int = 0
    version: int = 1
    resumes: bool = False
    forced: bool = False
    damaged: str | None = None
    changes: tuple[str, ...] = ()
    reuses: str = ""

    @property
    def data(self) -> dict[str, str]:
        """Return the digests of what it reads of the user's own."""
        return {name: found.digest for name, found in self.read.items()}

    @property
    def amounts(self) -> dict[str, str]:
        """Return how much that is, as far as it was counted."""
        return {name: found.amount for name, found in self.read.items() if found.amount}

    @property
    def starts_over(self) -> bool:
        """Return whether a result that exists is set aside for a new one."""
        return self.forced or self.damaged is not None

    @property
    def kind(self) -> str:
        """Return the kind of the stage."""
        return self.section.kind
