"""Computes fingerprints, by which results are found again, and lists what differs from an older result."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import xxhash
from pydantic import BaseModel

from workflows.planning.data import EXTENSION
from workflows.planning.step import Step
from workflows.results.manifest import Manifest
from workflows.spec.experiment import Experiment
from workflows.spec.reads import Digests, Read
from workflows.spec.secrets import Secrets
from workflows.spec.sections import DatasetSection, ExperimentSection, StageSection
from workflows.spec.stage_kinds import kind_of


@dataclass(frozen=True)
class Basis:
    """What the identity of a stage's result is made of. results: fingerprints of the stages before it."""

    spec: Experiment
    digests: Digests
    results: Mapping[str, str | None]

    @property
    def experiment(self) -> ExperimentSection:
        """Return the top of the spec."""
        return self.spec.section

    def result(self, stage: str) -> str:
        """Return the fingerprint of another stage's result."""
        return str(self.results[stage])

    def extraction(self, dataset: str) -> str:
        """Return what names the way in which frames of a dataset's clips are extracted."""
        section = self.spec.stages[self.spec.frames_stage(dataset)]
        return extraction_name(section, self.experiment.datasets[dataset])


def extraction_name(section: StageSection, dataset: DatasetSection) -> str:
    """Return a name for everything that decides, besides a clip's content, which frames are extracted of it."""
    identity = {**kind_of(section).extraction(section), "max_pixels": dataset.max_pixels}
    return xxhash.xxh3_64_hexdigest(json.dumps(identity, sort_keys=True).encode())


def fingerprint_of(step: Step, basis: Basis) -> str:
    """Return the digest of everything that decides the result of a stage."""
    return digest_of_identity(identity_of(step, basis))


def digest_of_identity(identity: Mapping[str, Any]) -> str:
    """Return the digest by which a result is found."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def identity_of(step: Step, basis: Basis) -> dict[str, Any]:
    """Return everything that decides the result of a stage, as data that JSON can hold.

    What it reads counts by content: the names of datasets, splits, files and other stages do not.
    """
    reads = list(kind_of(step.section).reads(step.section, basis.experiment.datasets))
    fields = _without_names(result_fields(step.section), reads)
    return {
        "kind": step.kind,
        "version": step.version,
        "section": fields,
        "model": step.model,
        "seed": step.seed,
        "reads": sorted({json.dumps(found, sort_keys=True) for read in reads if (found := read.identity(basis)) is not None}),
        "extensions": {name: digest for name, digest in step.data.items() if name.startswith(EXTENSION)},
    }


def _without_names(fields: dict[str, Any], reads: Iterable[Read]) -> dict[str, Any]:
    """Return fields of a section without those that only name what is read."""
    left = copy.deepcopy(fields)
    for path in {path for read in reads for path in read.named_in()}:
        with suppress(LookupError, TypeError):  # An older section may have fewer entries in a list.
            _remove(left, path)
    return left


def _remove(fields: Any, path: Sequence[str | int]) -> None:
    """Remove a field, or empty an entry of a list, inside of a section."""
    *parents, last = path
    for key in parents:
        fields = fields[key]
    if isinstance(fields, list):
        fields[int(last)] = None
    else:
        fields.pop(last, None)


def changes(step: Step, previous: Manifest, datasets: Mapping[str, DatasetSection]) -> Iterator[str]:
    """Yield why the newest earlier result of the stage cannot be used: one line per field, the best explanation first."""
    reads = list(kind_of(step.section).reads(step.section, datasets))
    if previous.kind != step.kind:
        yield f"spec changed: stages.{step.name}.kind {previous.kind} -> {step.kind}"
    hidden = Secrets.of_process().hide_in  # Manifests hold no secrets.
    fields = hidden(_without_names(result_fields(step.section), reads))
    former = _without_names(_without_no_effect(step.section, hidden(previous.section)), reads)
    for field_name, old, new in differences(former, fields):
        yield f"spec changed: stages.{step.name}.{field_name} {_short(old)} -> {_short(new)}"
    for field_name, old, new in differences(hidden(previous.model or {}), hidden(step.model or {})):
        yield f"spec changed: model.{field_name} {_short(old)} -> {_short(new)}"
    if previous.seed != step.seed:
        yield f"spec changed: seed {previous.seed} -> {step.seed}"
    for what, old_digests, new_digests in (
        ("input", previous.inputs, step.inputs),
        ("data", previous.data, step.data),
    ):
        names = [n for n in {**new_digests, **old_digests} if old_digests.get(n) != new_digests.get(n)]
        if names:
            yield f"{what} changed: {', '.join(names)}"
    if previous.kind_version != step.version:
        yield f"program changed: {step.kind} version {previous.kind_version} -> {step.version}"
    for field_name, _, _ in differences(fields, _without_names(result_fields(step.section), reads)):
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


def result_fields(section: StageSection) -> dict[str, Any]:
    """Return the fields of a section that affect its result."""
    return _without_no_effect(section, section.model_dump(mode="json"))


def _is_no_effect(model: type[BaseModel], name: str) -> bool:
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and extra.get("affects_result") is False


def _without_no_effect(section: StageSection, dumped: dict[str, Any]) -> dict[str, Any]:
    model = type(section)
    found = {k: v for k, v in dumped.items() if k not in model.model_fields or not _is_no_effect(model, k)}
    if isinstance(found.get("sweep"), dict):
        found["sweep"] = {k: v for k, v in found["sweep"].items() if k != "max_concurrent"}
    return found
