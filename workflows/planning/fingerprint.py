"""Computes fingerprints, by which results are found again."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import xxhash
from pydantic import BaseModel

from cosa.data.extraction_settings import way_of_extraction
from cosa.model_config import ModelConfig
from workflows.planning.data import EXTENSION
from workflows.planning.implied import initial_model, model_with_effect, without_implied
from workflows.planning.step import Step
from workflows.spec.experiment import Experiment
from workflows.spec.read import Digests, Read
from workflows.spec.sections import DatasetSection, ExperimentSection, StageSection
from workflows.spec.stage_kinds import kind_of
from workflows.spec.sweep import sweep_with_effect


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
        """Return what names the way in which frames of a dataset's clips are extracted, and which clips are left out.

        Frames that are read straight from the clips are the same, and so are their names.
        """
        files = self.experiment.datasets[dataset]
        if files.decode is not None:
            name, bounds = files.decode.name(files.max_pixels), dict(files.decode.bounds())
        else:
            section = self.spec.stages[self.spec.frames_stage(dataset)]
            name, bounds = extraction_name(section, files), dict(kind_of(section).bounds(section))
        return f"{name} {json.dumps(bounds, sort_keys=True)}" if bounds else name

    def indexing(self, dataset: str) -> str:
        """Return what names the way in which a dataset's shards are indexed, and so which samples they have."""
        section = self.spec.stages[self.spec.index_stage(dataset)]
        identity = {**kind_of(section).indexing(section), **self.experiment.datasets[dataset].media_bounds}
        return xxhash.xxh3_64_hexdigest(json.dumps(identity, sort_keys=True).encode())


def extraction_name(section: StageSection, dataset: DatasetSection) -> str:
    """Return a name for everything that decides, besides a clip's content, which frames are extracted of it."""
    return way_of_extraction(kind_of(section).extraction(section), dataset.max_pixels)


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
    fields = result_fields(step.section, initial_model(step.section, basis.spec))
    return {
        "kind": step.kind,
        "version": step.version,
        **without_names({"section": fields, "model": model_with_effect(step.model)}, reads, basis.experiment),
        "seed": step.seed,
        "reads": sorted({json.dumps(found, sort_keys=True) for read in reads if (found := read.identity(basis)) is not None}),
        "extensions": {name: digest for name, digest in step.data.items() if name.startswith(EXTENSION)},
    }


def without_names(fields: dict[str, Any], reads: Iterable[Read], experiment: ExperimentSection) -> dict[str, Any]:
    """Return the fields of a stage, {'section': ..., 'model': ...}, without those that only name what it reads."""
    left = copy.deepcopy(fields)
    for path in {path for read in reads for path in read.named_in(experiment)}:
        # An older section may have fewer entries in a list, or a list where there is a mapping now.
        with suppress(LookupError, TypeError, ValueError, AttributeError):
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


def result_fields(section: StageSection, model: ModelConfig | None = None) -> dict[str, Any]:
    """Return the fields of a section that affect its result. model: as of `fields_with_effect`."""
    return fields_with_effect(section, section.model_dump(mode="json"), model)


def _is_no_effect(model: type[BaseModel], name: str) -> bool:
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and extra.get("affects_result") is False


def fields_with_effect(section: StageSection, dumped: dict[str, Any], model: ModelConfig | None) -> dict[str, Any]:
    """Return those of a stage's fields, as data, that affect its result.

    section: of the same kind of stage. model: that the stage starts from, if it is known.
    """
    kind, own = kind_of(section), type(section)
    unused = kind.unused(section)
    found = without_implied(dumped, section, model)
    found = {k: v for k, v in found.items() if k not in unused and (k not in own.model_fields or not _is_no_effect(own, k))}
    if isinstance(found.get("sweep"), dict):
        found["sweep"] = sweep_with_effect(found["sweep"])
    return found
