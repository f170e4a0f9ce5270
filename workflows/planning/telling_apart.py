"""Says what tells a recorded result apart from others of its stage: fields that decided it, and what it read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from cosa.message_text import as_written
from workflows.planning.changes import differences
from workflows.planning.fingerprint import fields_with_effect, without_names
from workflows.planning.implied import model_with_effect
from workflows.results.manifest import Manifest
from workflows.spec.sections import ExperimentSection
from workflows.spec.stage_kinds import kind_of, recorded_section

DIGITS = 8  # of fingerprints and digests


def telling_apart(results: Sequence[Manifest]) -> list[str]:
    """Return for each of the results of a stage, in this order, what tells it from the others; nothing for a single one."""
    fields = [_fields(result) for result in results]
    return ["  ".join((*_values(own, fields), *_read(result, results))) for result, own in zip(results, fields, strict=True)]


def _fields(result: Manifest) -> dict[str, Any]:
    """Return the fields that decided a result, without those that only name what it read.

    Of a result that this program could not make, because an older one did or because an extension is not loaded, these are all.
    """
    found = {"section": result.section, "model": result.model or {}}
    section = recorded_section(result.kind, result.section)
    with suppress(ValidationError):  # An extension that is gone may have brought the model's family.
        experiment = ExperimentSection.model_validate({"name": result.experiment, "model": found["model"]})
        if section is not None:
            counting = fields_with_effect(section, result.section, experiment.model if result.model is not None else None)
            found = {"section": counting, "model": model_with_effect(result.model) or {}}
            found = without_names(found, kind_of(section).reads(section, {}), experiment)
    return {**found["section"], "model": found["model"], "seed": result.seed, "version": result.kind_version}


def _values(own: dict[str, Any], all_fields: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the fields of a result that have other values in another one."""
    found = {name: value for other in all_fields for name, _, value in differences(other, own)}
    yield from (f"{name}={as_written(value)}" for name, value in sorted(found.items()))


def _read(result: Manifest, results: Sequence[Manifest]) -> Iterator[str]:
    """Yield what a result was made from, where another one was made from something else."""
    for name, fingerprint in result.inputs.items():
        if any(other.inputs.get(name) != fingerprint for other in results):
            yield f"{name} {fingerprint[:DIGITS]}"
    for name, digest in result.data.items():
        if any(other.data.get(name) != digest for other in results):
            amount = result.amounts.get(name)
            is_enough = amount is not None and all(
                other.data.get(name) == digest or other.amounts.get(name, amount) != amount for other in results
            )
            yield f"{name}: {amount}" if is_enough else f"{name} {digest[:DIGITS]}" + (f" ({amount})" if amount else "")
