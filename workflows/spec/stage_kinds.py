"""Holds all kinds of stages in one table. A new kind is a file in `workflows/stages/` and a line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from workflows.spec.sections import StageSection
from workflows.spec.stage_kind import StageKind


class StageKinds(Mapping[str, StageKind[Any]]):
    """Kinds by name. The table is made of 'module:class' texts, and a kind is imported when it is first used."""

    def __init__(self, kinds: Mapping[str, str]):
        self._kinds: dict[str, StageKind[Any] | str] = dict(kinds)

    def __getitem__(self, name: str) -> StageKind[Any]:
        kind = self._kinds[name]
        if isinstance(kind, str):
            module, _, class_name = kind.partition(":")
            kind = self._kinds[name] = getattr(import_module(module), class_name)()
        return kind

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def register(self, kind: StageKind[Any]) -> None:
        """Add a kind that an extension defines."""
        self._kinds[kind.name] = kind


STAGE_KINDS = StageKinds(
    {
        "prepare": "workflows.stages.prepare:Prepare",
        "extract": "workflows.stages.extract:Extract",
        "pretrain": "workflows.stages.pretrain:Pretrain",
        "finetune": "workflows.stages.finetune:Finetune",
        "evaluate": "workflows.stages.evaluate:Evaluate",
    }
)


def kind_of(section: StageSection) -> StageKind[Any]:
    """Return the kind of a stage."""
    return STAGE_KINDS[section.kind]
