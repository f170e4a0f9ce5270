"""Lists what differs from an older result of a stage, which is why it cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from workflows.planning.fingerprint import fields_with_effect, result_fields, without_names
from workflows.planning.implied import initial_model, model_with_effect
from workflows.planning.step import Step
from workflows.results.manifest import Manifest
from workflows.spec.experiment import Experiment
from workflows.spec.secrets import Secrets
from workflows.spec.stage_kinds import kind_of

DATA_CHANGED = "data changed: "


def nearest_changes(step: Step, earlier: Iterable[Manifest], experiment: Experiment) -> tuple[str, ...] | None:
    """Return why the earlier result that differs least cannot be used, as `changes` says it; None if there is none.

    Compared with another one, changes would be named that nobody has made now. earlier: of the stage, the newest first, because
    of several that differ equally the first is taken. One that differs in what no line says counts as if it had one.
    """

    def distance(found: tuple[Manifest, tuple[str, ...]]) -> tuple[bool, int]:
        previous, lines = found
        count = sum(1 if line.startswith("spec ") else line.count(", ") + 1 for line in lines)
        return previous.kind != step.kind, max(1, count)

    compared = [(previous, tuple(changes(step, previous, experiment))) for previous in earlier]
    return min(compared, key=distance)[1] if compared else None


def changes(step: Step, previous: Manifest, experiment: Experiment) -> Iterator[str]:
    """Yield why an earlier result of the stage cannot be used: one line per field, the best explanation first."""
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
    for what, old_digests, new_digests in (
        ("input", previous.inputs, step.inputs),
        ("data", previous.data, step.data),
    ):
        names = [n for n in {**new_digests, **old_digests} if old_digests.get(n) != new_digests.get(n)]
        if names:
            yield f"{what} changed: {', '.join(names)}"  # DATA_CHANGED is how this begins for data.
    if previous.kind_version != step.version:
        yield f"program changed: {step.kind} version {previous.kind_version} -> {step.version}"
    for field_name, _, _ in differences(now["section"], real["section"]):
        yield f"spec changed: stages.{step.name}.{field_name} may differ (it is hidden in records)"


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields in which two sections differ, by their dotted names, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path, old, new


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
