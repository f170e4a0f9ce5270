"""Holds all kinds of stages in one table. A new kind is a file in `workflows/stages/` and a line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from cosa.errors import UserError
from cosa.table import Table
from workflows.spec.sections import StageSection
from workflows.spec.stage_kind import StageKind


class StageKinds(Table[StageKind[Any]]):
    """Kinds by name. Built-in ones are 'module:class' texts, and each is imported when it is first used."""

    def __init__(self, kinds: Mapping[str, str]):
        super().__init__("kind of stage", {}, _problem)
        self._texts = dict(kinds)
        self.built_in = frozenset(kinds)

    def __getitem__(self, name: str) -> StageKind[Any]:
        if name not in self._entries:
            module, _, class_name = self._texts[name].partition(":")
            self._entries[name] = getattr(import_module(module), class_name)()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._texts
        yield from (name for name in self._entries if name not in self._texts)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def register(self, kind: StageKind[Any]) -> None:
        """Add a kind that an extension defines.

        Raises:
            UserError: there is one of that name, or it contradicts itself.
        """
        self[getattr(kind, "name", "")] = kind


def _problem(name: str, kind: object) -> str | None:
    """Return what is wrong with a kind that is to be added under a name, if anything."""
    if not isinstance(kind, StageKind):
        return f"expected an object of a StageKind, as in register(MyKind()), not {kind!r}"
    if kind.name != name or not name:
        return f"its `name` is {kind.name!r}; expected the name that specs write"
    if not (isinstance(kind.section, type) and issubclass(kind.section, StageSection)):
        return "its `section` has to be a class derived from StageSection"
    if not isinstance(getattr(kind, "version", None), int):
        return "its `version` has to be an integer, which is raised when it would compute something else"
    return None


STAGE_KINDS = StageKinds(
    {
        "prepare": "workflows.stages.prepare:Prepare",
        "extract": "workflows.stages.extract:Extract",
        "index": "workflows.stages.index:Index",
        "pretrain": "workflows.stages.pretrain:Pretrain",
        "finetune": "workflows.stages.finetune:Finetune",
        "evaluate": "workflows.stages.evaluate:Evaluate",
    }
)


def kind_of(section: StageSection) -> StageKind[Any]:
    """Return the kind of a stage."""
    return STAGE_KINDS[section.kind]


def recorded_section(kind: str, fields: Mapping[str, Any]) -> StageSection | None:
    """Return a section that a record holds as data; None if an older program wrote it, or if an extension is not loaded."""
    try:
        return STAGE_KINDS[kind].section_for(fields).model_validate(fields)
    except (ValidationError, LookupError, UserError):
        return None
