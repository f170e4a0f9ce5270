"""What to run and why: the spec against what lies on disk. Pure: no torch, no ray, no mlflow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from cosa.data.annotations import load_captions, load_questions, load_references
from cosa.datasets.table import CONVERTERS
from cosa.errors import UserError
from workflows.artifacts import Manifest, Storage, read_manifest
from workflows.digests import FileDigests
from workflows.spec.graph import Experiment, is_path
from workflows.spec.sections import (
    DatasetSection,
    EvaluateSection,
    ExtractSection,
    FinetuneSection,
    PrepareSection,
    PretrainSection,
    StageSection,
    TrainSection,
)

# Raise a number when a kind of stage would compute something else from the same section and inputs.
KIND_VERSIONS = {"prepare": 1, "extract": 1, "pretrain": 1, "finetune": 1, "evaluate": 1}

Action = Literal["run", "skip", "blocked"]


@dataclass(frozen=True)
class Step:
    """One stage of the plan.

    fingerprint: identifies the result; None if something it needs is missing. reason: why it runs, or is skipped.
    """

    name: str
    section: StageSection
    action: Action
    reason: str
    fingerprint: str | None
    inputs: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    resumes: bool = False

    @property
    def kind(self) -> str:
        """Kind of the stage."""
        return self.section.kind


@dataclass(frozen=True)
class Plan:
    """All steps in order. missing: what has to be provided before the experiment can run, a line each."""

    experiment: Experiment
    storage: Storage
    steps: tuple[Step, ...]
    missing: tuple[str, ...]

    @property
    def to_run(self) -> tuple[Step, ...]:
        """The steps that are not skipped."""
        return tuple(step for step in self.steps if step.action != "skip")

    def result_of(self, stage: str) -> Path:
        """Where the result of a stage is, or will be."""
        step = next(step for step in self.steps if step.name == stage)
        assert step.fingerprint is not None
        return self.storage.result(stage, step.fingerprint)


def make_plan(experiment: Experiment, *, force: Collection[str] = ()) -> Plan:
    """Decide for every stage whether its result exists already.

    Args:
        experiment: a checked spec.
        force: stages to run even if their result exists.
    """
    storage = Storage(Path(experiment.section.storage).expanduser(), experiment.name)
    digests = FileDigests(storage.root / ".cache" / "file-digests.json")
    missing: list[str] = []
    steps: dict[str, Step] = {}
    for name in experiment.stages:
        steps[name] = _plan_stage(name, experiment, storage, digests, steps, missing, name in force)
    digests.save()
    return Plan(experiment, storage, tuple(steps.values()), tuple(dict.fromkeys(missing)))


def _plan_stage(
    name: str,
    experiment: Experiment,
    storage: Storage,
    digests: FileDigests,
    steps: dict[str, Step],
    missing: list[str],
    forced: bool,
) -> Step:
    section = experiment.stages[name]
    before = len(missing)
    data = dict(_data_digests(section, experiment, digests, missing))
    blocked_by = [i for i in experiment.inputs[name] if steps[i].fingerprint is None]
    if blocked_by or len(missing) > before:
        reason = f"needs {', '.join(blocked_by)}" if blocked_by else f"missing: {missing[before]}"
        return Step(name, section, "blocked", reason, None, data=data)
    inputs = {i: str(steps[i].fingerprint) for i in experiment.inputs[name]}
    model = None
    if isinstance(section, TrainSection) and section.init_from is None:
        model = experiment.section.model.model_dump(mode="json")
    version = KIND_VERSIONS[section.kind]
    if isinstance(section, PrepareSection):
        version = version * 1000 + CONVERTERS[section.converter].version
    seed = 0 if isinstance(section, PrepareSection | ExtractSection) else experiment.section.seed
    used = {d: _dataset_facts(experiment.section.datasets[d]) for d in datasets_of(section)}
    identity = {
        "kind": section.kind,
        "version": version,
        "section": result_fields(section),
        "model": model,
        "seed": seed,
        "datasets": used,
        "inputs": sorted(inputs.values()),
        "data": data,
    }
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    step = Step(name, section, "run", "", fingerprint, inputs, data, model)
    action, reason, resumes = _decide(step, storage, seed, version, forced, steps)
    return Step(name, section, action, reason, fingerprint, inputs, data, model, resumes)


def _decide(
    step: Step, storage: Storage, seed: int, version: int, forced: bool, steps: dict[str, Step]
) -> tuple[Action, str, bool]:
    assert step.fingerprint is not None
    resumes = storage.partial(step.name, step.fingerprint).is_dir()
    if forced:
        return "run", "forced", resumes
    if read_manifest(storage.result(step.name, step.fingerprint)) is not None:
        rerun = [name for name in step.inputs if steps[name].action == "run"]
        return "skip", "done" if not rerun else f"done (its input {rerun[0]} gives the same result)", False
    if resumes:
        return "run", "interrupted: goes on where it stopped", True
    previous = storage.latest_manifest(step.name)
    if previous is None:
        return "run", "new", False
    return "run", _what_changed(step, previous, seed, version), False


def _what_changed(step: Step, previous: Manifest, seed: int, version: int) -> str:
    """Why the newest earlier result of the stage does not serve, in one line."""
    if previous.kind != step.kind:
        return f"spec changed: stages.{step.name}.kind {previous.kind} -> {step.kind}"
    changes = list(_differences(_without_no_effect(step.section, previous.section), result_fields(step.section)))
    if changes:
        field_name, old, new = changes[0]
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        return f"spec changed: stages.{step.name}.{field_name} {_short(old)} -> {_short(new)}{more}"
    if previous.model != step.model:
        field_name, old, new = next(iter(_differences(previous.model or {}, step.model or {})), ("", None, None))
        return f"spec changed: model.{field_name} {_short(old)} -> {_short(new)}"
    if previous.seed != seed:
        return f"spec changed: seed {previous.seed} -> {seed}"
    inputs = [name for name, digest in step.inputs.items() if previous.inputs.get(name) != digest]
    if inputs:
        return f"input changed: {', '.join(inputs)}"
    data = [name for name, digest in step.data.items() if previous.data.get(name) != digest]
    if data:
        return f"data changed: {', '.join(data)}"
    if previous.kind_version != version:
        return f"program changed: {step.kind} version {previous.kind_version} -> {version}"
    return "spec changed: datasets"


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield path, old, new


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


# -- what a stage's result depends on -----------------------------------------------------------------------------------


def _is_no_effect(model: type[BaseModel], name: str) -> bool:
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and extra.get("affects_result") is False


def result_fields(section: StageSection) -> dict[str, Any]:
    """The fields of a section that change its result."""
    return _without_no_effect(section, section.model_dump(mode="json"))


def _without_no_effect(section: StageSection, dumped: dict[str, Any]) -> dict[str, Any]:
    model = type(section)
    kept = {k: v for k, v in dumped.items() if k not in model.model_fields or not _is_no_effect(model, k)}
    if isinstance(kept.get("sweep"), dict):
        kept["sweep"] = {k: v for k, v in kept["sweep"].items() if k != "max_concurrent"}
    return kept


def datasets_of(section: StageSection) -> list[str]:
    """Names of the datasets that a stage reads."""
    if isinstance(section, PretrainSection):
        return list(dict.fromkeys(corpus.dataset for corpus in section.corpora))
    if isinstance(section, ExtractSection | FinetuneSection | EvaluateSection):
        return [section.dataset]
    return []


def _dataset_facts(dataset: DatasetSection) -> dict[str, Any]:
    """What of a dataset section counts: names inside a made dataset; for user files their contents are in `data` instead."""
    if dataset.made_by is not None:
        return dataset.model_dump(mode="json")
    return {"media": dataset.media, "splits": sorted(dataset.splits)}


def splits_of(section: StageSection, dataset: DatasetSection) -> list[tuple[str, str, bool]]:
    """(split, 'captions' | 'questions' | 'references', is evaluated) of the annotation files that a stage reads."""
    if isinstance(section, ExtractSection):
        return [
            (split, kind, False)
            for split, files in dataset.splits.items()
            for kind in ("captions", "questions")
            if getattr(files, kind) is not None
        ]
    if isinstance(section, PretrainSection):
        return [(corpus.split, "captions", False) for corpus in section.corpora]
    if isinstance(section, FinetuneSection):
        kind = "questions" if section.task == "question_answering" else "captions"
        reads = [(section.train_split, kind, False)]
        if section.validation_split is not None:
            reads.append((section.validation_split, kind, True))
            if section.task == "captioning":
                reads.append((section.validation_split, "references", True))
        return reads
    if isinstance(section, EvaluateSection):
        reads = []
        for task in section.tasks:
            kind = "questions" if task == "question_answering" else "captions"
            reads.append((section.split, kind, True))
            if section.baseline_split in dataset.splits:
                reads.append((section.baseline_split, kind, False))
            if task == "captioning":
                reads.append((section.split, "references", True))
        return reads
    return []


def _data_digests(
    section: StageSection, experiment: Experiment, digests: FileDigests, missing: list[str]
) -> Iterator[tuple[str, str]]:
    """Digests of the user's own files that a stage reads, by a name for people. Missing ones are added to `missing`."""
    for name in datasets_of(section):
        dataset = experiment.section.datasets[name]
        if dataset.made_by is not None:
            continue
        for split, kind, _ in splits_of(section, dataset):
            file = getattr(dataset.splits[split], kind)
            if file is None:
                continue
            if not Path(file).expanduser().is_file():
                missing.append(f"datasets.{name}.splits.{split}.{kind}: no file {Path(file).expanduser().absolute()}")
            else:
                yield f"{name}/{split}/{kind}", digests.of_file(Path(file).expanduser())
        yield from _media_digest(section, name, dataset, digests, missing)
    reference = getattr(section, "init_from", None) or getattr(section, "checkpoint", None)
    if reference is not None and is_path(reference):
        weights = Path(reference).expanduser() / "model.safetensors"
        if weights.is_file():
            yield f"checkpoint {reference}", digests.of_file(weights)
        else:
            field_name = "checkpoint" if isinstance(section, EvaluateSection) else "init_from"
            missing.append(f"{field_name}: no checkpoint {weights.parent.absolute()} (expected model.safetensors in it)")


def _media_digest(
    section: StageSection, name: str, dataset: DatasetSection, digests: FileDigests, missing: list[str]
) -> Iterator[tuple[str, str]]:
    needs_frames = not isinstance(section, ExtractSection)
    if dataset.media == "video" and needs_frames and dataset.frames is None:
        return  # the extract stage's fingerprint stands for the clips
    folder = dataset.frames if dataset.media == "video" and needs_frames else dataset.root
    what = "frames" if folder == dataset.frames else "root"
    path = Path(str(folder)).expanduser()
    if not path.is_dir():
        missing.append(f"datasets.{name}.{what}: no folder {path.absolute()}")
    elif isinstance(section, ExtractSection):
        yield f"{name}/clips", digests.of_folder(path)
    else:
        # Frames and images are many: they are not walked. Their folder's place stands for them.
        yield f"{name}/{what}", f"folder {path.absolute()}"


def check_annotations(plan: Plan) -> None:
    """Read the annotation files of all stages that will run, as far as they exist, and raise the first error found.

    Files that a prepare stage has still to write are checked when they are read.
    """
    for step in plan.to_run:
        for name in datasets_of(step.section):
            dataset = plan.experiment.section.datasets[name]
            if dataset.made_by is not None:
                continue
            for split, kind, is_evaluated in splits_of(step.section, dataset):
                file = getattr(dataset.splits[split], kind)
                if file is None:
                    continue
                _check_file(Path(file).expanduser(), kind, is_evaluated, step)


def _check_file(path: Path, kind: str, is_evaluated: bool, step: Step) -> None:
    from cosa.data.annotations import reject_duplicates

    if kind == "references":
        load_references(path)
    elif kind == "questions":
        submission = isinstance(step.section, EvaluateSection) and step.section.submission
        load_questions(path, require_answers=not (submission and is_evaluated))
    else:
        entries = load_captions(path)
        if is_evaluated:
            reject_duplicates(entries, path)
    if not path.stat().st_size:
        raise UserError(f"{path} is empty")
