"""Lists what differs from an older result of a stage, which is why it cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from cosa.errors import UserError
from cosa.message_text import as_written
from workflows.planning.fingerprint import Basis, fields_with_effect, fingerprint_of, result_fields, without_names
from workflows.planning.implied import initial_model, model_with_effect
from workflows.planning.step import Step
from workflows.results.manifest import Manifest
from workflows.spec.secrets import Secrets
from workflows.spec.stage_kinds import kind_of, recorded_section

DATA_CHANGED = "data changed: "


def nearest_changes(
    step: Step, earlier: Iterable[Manifest], basis: Basis, clips: Callable[[Manifest], Mapping[str, str]]
) -> tuple[str, ...] | None:
    """Return why the earlier result that differs least cannot be used, as `changes` says it; None if there is none.

    Compared with another one, changes would be named that nobody has made now.

    Args:
        step: the stage.
        earlier: its results, the newest first, because of several that differ equally the first is taken. One that differs in
            what no line says counts as if it had one.
        basis: of the stage's identity.
        clips: says which clips differ from those of a result (`clip_changes`).
    """

    def distance(found: tuple[Manifest, tuple[str, ...]]) -> tuple[bool, int]:
        previous, lines = found
        count = sum(1 if line.startswith("spec ") else line.count(", ") + 1 for line in lines)
        return previous.kind != step.kind, max(1, count)

    compared = [(previous, tuple(changes(step, previous, basis))) for previous in earlier]
    if not compared:
        return None
    nearest, lines = min(compared, key=distance)
    has_other_data = any(line.startswith(DATA_CHANGED) for line in lines)
    return tuple(changes(step, nearest, basis, clips(nearest))) if has_other_data else lines


def changes(step: Step, previous: Manifest, basis: Basis, clips: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Yield why an earlier result of the stage cannot be used: one line per field, the best explanation first.

    clips: which clips differ, by the name under which the stage reads them.
    """
    experiment = basis.spec
    reads = list(kind_of(step.section).reads(step.section, experiment.section.datasets))
    start = initial_model(step.section, experiment)

    def compared(section: dict[str, Any], model: dict[str, Any] | None) -> dict[str, Any]:
        return without_names({"section": section, "model": model_with_effect(model) or {}}, reads, experiment.section)

    if previous.kind != step.kind:
        yield f"spec changed: stages.{step.name}.kind {previous.kind} -> {step.kind}"
    hidden = Secrets.of_process().hide_in  # Manifests hold no secrets.
    real = compared(result_fields(step.section, start), step.model)
    earlier = fields_with_effect(step.section, hidden(previous.section), start)
    now, former = hidden(real), compared(earlier, hidden(previous.model))
    for field_name, old, new in differences(former["section"], now["section"]):
        yield f"spec changed: stages.{step.name}.{field_name} {_short(old)} -> {_short(new)}"
    for field_name, old, new in differences(former["model"], now["model"]):
        yield f"spec changed: model.{field_name} {_short(old)} -> {_short(new)}"
    if previous.seed != step.seed:
        yield f"spec changed: seed {previous.seed} -> {step.seed}"
    inputs, data = _differing(previous.inputs, step.inputs), _differing(previous.data, step.data)
    if (inputs or data) and _reads_the_same(step, previous, basis):  # What is newly read follows from a field, and is named.
        inputs = [name for name in inputs if (name in step.inputs) != (name in previous.inputs)]
        data = [name for name in data if (name in step.data) != (name in previous.data)]
    if inputs:
        yield f"input changed: {', '.join(inputs)}"
    if data:
        yield f"{DATA_CHANGED}{', '.join(dict.fromkeys(_changed_data(name, previous, step, clips) for name in data))}"
    if previous.kind_version != step.version:
        yield f"program changed: {step.kind} version {previous.kind_version} -> {step.version}"
    for field_name, _, _ in differences(now["section"], real["section"]):
        yield f"spec changed: stages.{step.name}.{field_name} may differ (it is hidden in records)"


def _reads_the_same(step: Step, previous: Manifest, basis: Basis) -> bool:
    """Return whether the fields alone differ: with its own, an earlier result would have been found.

    A stage may read less of its inputs than has changed there, such as the clips that its annotations name.
    """
    section = recorded_section(previous.kind, previous.section)
    if section is None:
        return False
    former = replace(step, section=section, model=previous.model, seed=previous.seed, version=previous.kind_version)
    try:
        return fingerprint_of(former, basis) == previous.fingerprint
    except (LookupError, UserError):  # It read what the spec does not have any more.
        return False


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the names that have other values."""
    return [name for name in {**new, **old} if old.get(name) != new.get(name)]


def _changed_data(name: str, previous: Manifest, step: Step, clips: Mapping[str, str]) -> str:
    """Name a file or folder whose content has changed, with its clips that differ, or with its amounts where these do."""
    found = step.read.get(name)
    if found is None:
        return f"{name} (no longer read)"
    if name not in previous.data:
        return f"{found.place or name} (newly read)"
    before = previous.amounts.get(name, "")
    amounts = f"{before} -> {found.amount}" if before and found.amount and before != found.amount else ""
    more = clips.get(name) or amounts
    return f"{found.place or name} ({more})" if more else found.place or name


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields in which two sections differ, by their dotted names, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path, old, new


def _short(value: Any) -> str:
    text = as_written(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
