"""Names runs by what differs from the run before: a table of runs that are all called `caption` says nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cosa.message_text import as_written
from workflows.planning.changes import differences

SPEC_FILE, ENVIRONMENT_FILE = "spec.json", "environment.json"
WITHOUT_EFFECT = ("name", "description", "storage", "tracking", "cluster")  # These sections of a spec change no result.
LONGEST_VALUE, LONGEST_NAME = 32, 120  # These are in characters. PostgreSQL takes no name of more than 250.

Changes = dict[str, Any]  # It holds the values of fields by their dotted names.


def changed_fields(spec: Mapping[str, Any], earlier: Path, overrides: Sequence[str], variant: Sequence[str] = ()) -> Changes:
    """Return what an invocation changes: of what its command sets, what was different before; without such, all differences.

    Args:
        spec: as `SPEC_FILE` has it.
        earlier: the folder of earlier invocations' folders, which have one, too. Of these the newest that differs counts, so
            that an invocation that resumes another changes the same as that; for a command that sets nothing, the newest of
            such a command.
        overrides: NAME=VALUE of the command.
        variant: overrides that tell this invocation from others of its command. They count even if they were not different.
    """
    swept, given = _values_of(spec, variant), _values_of(spec, overrides)
    now = _with_effect(spec)
    for file in _newest_first(earlier):
        former = _read(file)
        if former is not None and former != now and (overrides or variant or not _sets_fields(file)):
            set_anew = {name: value for name, value in given.items() if value != _value_of(former, name)}
            return _in_order({**swept, **set_anew} or dict(_differences(former, now)))
    return _in_order({**swept, **given})


def repeats_the_last(spec: Mapping[str, Any], earlier: Path) -> bool:
    """Return whether the newest earlier invocation had the same spec, so that something else is why this one runs."""
    newest = next(_newest_first(earlier), None)
    return newest is not None and _read(newest) == _with_effect(spec)


def _newest_first(earlier: Path) -> Iterator[Path]:
    yield from sorted(earlier.glob(f"*/{SPEC_FILE}"), reverse=True)


def _in_order(changes: Changes) -> Changes:
    """Put stages that are new first, and give the values that a new sweep tries instead of all its fields."""
    flat: Changes = {}
    for name, value in changes.items():
        tried = {} if _is_stage(name) or not isinstance(value, Mapping) else value
        lists = {f"{name}.{field}": values for field, values in tried.items() if isinstance(values, list)}
        flat |= lists or {name: value}
    return dict(sorted(flat.items(), key=lambda change: not _is_stage(change[0])))


def _is_stage(name: str) -> bool:
    return name.startswith("stages.") and name.count(".") == 1


def _values_of(spec: Mapping[str, Any], overrides: Sequence[str]) -> Changes:
    """Return what fields that overrides name have become; those without effect, and those that are gone, are left out."""
    names = [override.partition("=")[0].strip() for override in overrides]
    return {name: value for name in names if _has_effect(name) and (value := _value_of(spec, name)) is not None}


def _differences(former: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield fields with other values; not those that were not there, which a newer version of the program has added."""
    for name, _, new in differences(former, now):
        if new is not None and (_is_stage(name) or _is_there(former, name)):
            yield name, new


def changes_of_stage(changes: Changes, stage: str) -> Changes:
    """Return those in fields of a stage, with the names that they have there."""
    start = f"stages.{stage}."
    return {name.removeprefix(start): value for name, value in changes.items() if name.startswith(start)}


def name_of_invocation(experiment: str, changes: Mapping[str, Any], reasons: Sequence[str]) -> str:
    """Return the name of the run of an invocation: by the fields that it changes, or else by its first reason.

    Without either it has the experiment's, on whose page it stands. reasons: what is forced, and what data have changed.
    """
    if changes:
        first, *others = changes.items()
        return name_of_run(_said(*first), dict(others))
    return next(iter(reasons), experiment)[:LONGEST_NAME]


def name_of_run(subject: str, changes: Mapping[str, Any]) -> str:
    """Return the name of a run, such as `retrieval lr=0.0003`, with as many fields as it has room for."""
    name = subject[:LONGEST_NAME]
    for done, (field, value) in enumerate(changes.items()):
        longer = f"{name} {_said(field, value)}"
        if len(longer) > LONGEST_NAME:
            return f"{name} and {len(changes) - done} more" if done else name
        name = longer
    return name


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


def _is_there(spec: Mapping[str, Any], name: str) -> bool:
    group, _, field = name.rpartition(".")
    section = _value_of(spec, group) if group else spec
    return isinstance(section, Mapping) and field in section


def _is_item(value: Any, part: str) -> bool:
    return isinstance(value, list) and part.isdecimal() and int(part) < len(value)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return _with_effect(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):  # A killed invocation may have left half a file.
        return None


def _sets_fields(spec: Path) -> bool:
    """Return whether the command of an earlier invocation set fields itself."""
    try:
        command = json.loads(spec.with_name(ENVIRONMENT_FILE).read_text(encoding="utf-8"))["command"]
        return any(word in ("--set", "--sweep") for word in str(command).split())
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _said(name: str, value: Any) -> str:
    is_new_stage = _is_stage(name) and isinstance(value, Mapping)
    return f"+{name.removeprefix('stages.')}" if is_new_stage else f"{_short(name)}={_text(value)}"


def _short(name: str) -> str:
    stage, dot, field = name.removeprefix("stages.").rpartition(".")
    return f"{stage}{dot}{field.replace('learning_rate', 'lr')}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "new"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join((value if isinstance(value, str) else as_written(value, ensure_ascii=False)).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE // 2 - 2]}...{text[-LONGEST_VALUE // 2 + 1 :]}"
