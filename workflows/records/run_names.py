"""Names runs by what differs from the run before: a table of runs that are all called `caption` says nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflows.planning.changes import differences

SPEC_FILE = "spec.json"
WITHOUT_EFFECT = ("name", "description", "storage", "tracking", "cluster")  # These sections of a spec change no result.
MOST_SHOWN = 3
LONGEST_VALUE = 32  # characters

Changes = dict[str, Any]  # fields by their dotted names, with their values now


def changed_fields(spec: Mapping[str, Any], earlier: Path, overrides: Sequence[str]) -> Changes:
    """Return what an invocation changes: of what its command sets, what was different before; without such, all differences.

    Args:
        spec: as `SPEC_FILE` has it.
        earlier: the folder of earlier invocations' folders, which have one, too. Of these the newest that differs counts, so
            that an invocation that resumes another changes the same as that.
        overrides: NAME=VALUE of the command.
    """
    names = [override.partition("=")[0].strip() for override in overrides]
    given = {name: value for name in names if _has_effect(name) and (value := _value_of(spec, name)) is not None}
    now = _with_effect(spec)
    for file in sorted(earlier.glob(f"*/{SPEC_FILE}"), reverse=True):
        former = _read(file)
        if former is not None and former != now:
            changes = {name: new for name, _, new in differences(former, now) if new is not None}
            return {name: value for name, value in given.items() if value != _value_of(former, name)} or changes
    return given


def changes_of_stage(changes: Changes, stage: str) -> Changes:
    """Return those in fields of a stage, with the names that they have there."""
    start = f"stages.{stage}."
    return {name.removeprefix(start): value for name, value in changes.items() if name.startswith(start)}


def name_of_run(subject: str, changes: Mapping[str, Any]) -> str:
    """Return the name of a run, such as `retrieval lr=0.0003`."""
    shown = [f"{_short(name)}={_text(value)}" for name, value in list(changes.items())[:MOST_SHOWN]]
    more = [f"and {len(changes) - MOST_SHOWN} more"] if len(changes) > MOST_SHOWN else []
    return " ".join([subject, *shown, *more])


def _has_effect(name: str) -> bool:
    return name.partition(".")[0] not in WITHOUT_EFFECT


def _with_effect(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: section for name, section in spec.items() if _has_effect(name)}


def _value_of(spec: Mapping[str, Any], name: str) -> Any:
    """Return a field's value; None where there is no such field: the stage of a matrix has become several."""
    value: Any = spec
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else value[int(part)] if _is_item(value, part) else None
    return value


def _is_item(value: Any, part: str) -> bool:
    return isinstance(value, list) and part.isdecimal() and int(part) < len(value)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return _with_effect(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):  # A killed invocation may have left half a file.
        return None


def _short(name: str) -> str:
    return name.removeprefix("stages.").replace("learning_rate", "lr")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "new"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE // 2 - 2]}...{text[-LONGEST_VALUE // 2 + 1 :]}"
