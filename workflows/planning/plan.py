"""What to run and why: the spec against what lies on disk. Pure: no torch, no ray, no mlflow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from cosa.checkpoints.locate import locate
from cosa.datasets.converters import CONVERTERS
from cosa.errors import UserError
from workflows.planning.annotation_files import annotation_files, datasets_of, splits_of
from workflows.planning.digests import FileDigests
from workflows.planning.missing import Missing, missing_lines
from workflows.planning.selection import EVERYTHING, Selection, check_names
from workflows.results.artifacts import Manifest, Storage, read_manifest
from workflows.results.locks import holder_of
from workflows.spec.combinations import is_path
from workflows.spec.graph import Experiment
from workflows.spec.scaling import check_batches
from workflows.spec.sections import (
    DatasetSection,
    EvaluateSection,
    ExtractSection,
    PrepareSection,
    StageSection,
    TrainSection,
)

# Raise a number when a kind of stage would compute something else from the same section and inputs.
KIND_VERSIONS = {"prepare": 1, "extract": 1, "pretrain": 2, "finetune": 2, "evaluate": 1}

Action = Literal["run", "skip", "blocked", "left out"]


@dataclass(frozen=True)
class Step:
    """One stage of the plan.

    fingerprint: identifies the result; None if something it needs is missing. reason: why it runs, or is skipped. changes: all
    that differs from its newest result, when that is why it runs. forced: it runs although its result exists.
    """

    name: str
    section: StageSection
    action: Action
    reason: str
    fingerprint: str | None
    inputs: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    seed: int = 0
    version: int = 1
    resumes: bool = False
    forced: bool = False
    changes: tuple[str, ...] = ()

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
        """The steps that are neither done nor left out."""
        return tuple(step for step in self.steps if step.action in ("run", "blocked"))

    def result_of(self, stage: str) -> Path:
        """Where the result of a stage is, or will be."""
        step = next(step for step in self.steps if step.name == stage)
        if step.fingerprint is None:
            raise UserError(f"stage {stage} has no result: {step.reason}")
        return self.storage.result(stage, step.fingerprint)


def make_plan(
    experiment: Experiment,
    *,
    force: Collection[str] = (),
    selection: Selection = EVERYTHING,
    forced_before: Collection[Path] = (),
) -> Plan:
    """Decide for every stage whether its result exists already.

    Args:
        experiment: a checked spec.
        force: stages to run even if their result exists; so do all that build on them.
        selection: stages to run; others are left out, but their results are used.
        forced_before: results that this invocation has started over already, for another variant.

    Raises:
        UserError: a given stage does not exist, a chosen one needs one that is left out and has no result, a file cannot be
            read, or a result's manifest is damaged.
    """
    force = experiment.stages_named(force)
    check_names("--force", force, experiment)
    return _Planner(experiment, force, selection, forced_before).plan()


class _Planner:
    """Plans stage after stage; knows what was decided about those before."""

    def __init__(self, experiment: Experiment, force: Collection[str], selection: Selection, forced_before: Collection[Path]):
        self.experiment, self.force, self.forced_before = experiment, force, forced_before
        self.selection, self.chosen = selection, selection.stages(experiment)
        idle = [name for name in force if name not in self.chosen]
        if idle:
            raise UserError(f"--force: stage {idle[0]} is left out by {selection.as_options()}")
        self.storage = Storage(Path(experiment.section.storage).expanduser(), experiment.name)
        self.digests = FileDigests(self.storage.root / ".cache" / "file-digests.json")
        self.missing: list[Missing] = []
        self.steps: dict[str, Step] = {}

    def plan(self) -> Plan:
        """Plan all stages."""
        for name in self.experiment.stages:
            before = len(self.missing)
            step = self._plan_stage(name)
            if name not in self.chosen:
                del self.missing[before:]
                step = self._left_out(step)
            self.steps[name] = step
            self._check_inputs(step)
        self.digests.save()
        missing = missing_lines(self.missing, self.experiment)
        return Plan(self.experiment, self.storage, tuple(self.steps.values()), missing)

    def _left_out(self, step: Step) -> Step:
        """What becomes of a step that was not asked for: its result is used, if it has one."""
        if step.action == "skip":
            return step
        if step.forced and step.fingerprint and read_manifest(self.storage.result(step.name, step.fingerprint)) is not None:
            reason = f"done before, and left out by {self.selection.as_options()} though {step.reason}"
            return replace(step, action="skip", reason=reason, forced=False)
        return replace(step, action="left out", reason=f"by {self.selection.as_options()}", forced=False)

    def _check_inputs(self, step: Step) -> None:
        lacking = [i for i in self.experiment.inputs[step.name] if self.steps[i].action == "left out"]
        if lacking and step.action in ("run", "blocked"):
            raise UserError(
                f"stage {step.name} needs {', '.join(lacking)}, which {self.selection.as_options()} leaves out and which has "
                "no result yet; run it first, or leave it in"
            )

    def _plan_stage(self, name: str) -> Step:
        section = self.experiment.stages[name]
        before = len(self.missing)
        data = dict(_data_digests(name, self.experiment, self.digests, self.missing))
        inputs = {i: self.steps[i].fingerprint for i in self.experiment.inputs[name]}
        blocked_by = [i for i, fingerprint in inputs.items() if fingerprint is None]
        if blocked_by or len(self.missing) > before:
            reason = f"needs {', '.join(blocked_by)}" if blocked_by else f"missing: {self.missing[before].short}"
            return Step(name, section, "blocked", reason, None, data=data)
        step = Step(
            name,
            section,
            "run",
            "",
            None,
            inputs={i: str(fingerprint) for i, fingerprint in inputs.items()},
            data=data,
            model=_model_of(section, self.experiment),
            seed=0 if isinstance(section, PrepareSection | ExtractSection) else self.experiment.section.seed,
            version=_version_of(section),
        )
        fingerprint = _fingerprint(step, self.experiment)
        forced_inputs = [i for i in step.inputs if self.steps[i].forced]
        if name in self.force or forced_inputs:
            if self.storage.result(name, fingerprint) in self.forced_before:  # what builds on it is forced all the same
                return replace(self._decide(step, fingerprint), fingerprint=fingerprint, forced=True)
            reason = "forced" if name in self.force else f"its input {forced_inputs[0]} is forced"
            return replace(step, fingerprint=fingerprint, action="run", reason=reason, forced=True)
        return replace(self._decide(step, fingerprint), fingerprint=fingerprint)

    def _decide(self, step: Step, fingerprint: str) -> Step:
        resumes = self.storage.partial(step.name, fingerprint).is_dir()
        if read_manifest(self.storage.result(step.name, fingerprint)) is not None:
            rerun = [name for name in step.inputs if self.steps[name].action == "run"]
            reason = "done" if not rerun else f"done (its input {rerun[0]} gives the same result)"
            return replace(step, action="skip", reason=reason)
        holder = holder_of(self.storage.lock_file(step.name, fingerprint))
        if holder is not None:
            return replace(step, reason=f"in work: {holder}", resumes=resumes)
        if resumes:
            return replace(step, reason="interrupted: goes on where it stopped", resumes=True)
        previous = self.storage.latest_manifest(step.name)
        if previous is None:
            return replace(step, reason="new")
        changes = tuple(_changes(step, previous)) or ("spec changed: datasets",)
        fields = [change for change in changes if change.startswith(f"spec changed: stages.{step.name}.")]
        more = f" and {len(fields) - 1} more" if len(fields) > 1 and previous.kind == step.kind else ""
        return replace(step, reason=changes[0] + more, changes=changes)


def _model_of(section: StageSection, experiment: Experiment) -> dict[str, Any] | None:
    """The model section, for a stage that builds a model from it."""
    if isinstance(section, TrainSection) and section.init_from is None:
        return experiment.section.model.model_dump(mode="json")
    return None


def _version_of(section: StageSection) -> int:
    version = KIND_VERSIONS[section.kind]
    return version * 1000 + CONVERTERS[section.converter].version if isinstance(section, PrepareSection) else version


def _fingerprint(step: Step, experiment: Experiment) -> str:
    """Digest of all that decides the result."""
    datasets = experiment.section.datasets
    identity = {
        "kind": step.kind,
        "version": step.version,
        "section": result_fields(step.section),
        "model": step.model,
        "seed": step.seed,
        "datasets": {name: _dataset_facts(step.section, name, datasets[name]) for name in datasets_of(step.section)},
        "inputs": sorted(step.inputs.values()),
        "data": step.data,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _changes(step: Step, previous: Manifest) -> Iterator[str]:
    """Why the newest earlier result of the stage does not serve: a line a field, what explains most first."""
    if previous.kind != step.kind:
        yield f"spec changed: stages.{step.name}.kind {previous.kind} -> {step.kind}"
    for field_name, old, new in _differences(_without_no_effect(step.section, previous.section), result_fields(step.section)):
        yield f"spec changed: stages.{step.name}.{field_name} {_short(old)} -> {_short(new)}"
    for field_name, old, new in _differences(previous.model or {}, step.model or {}):
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


# -- what a stage's result depends on ---------------------------------------------------------------------------------


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


def _dataset_facts(section: StageSection, name: str, dataset: DatasetSection) -> dict[str, Any]:
    """What of a dataset counts for a stage: names inside a made dataset; user files count by content, in `data`."""
    if dataset.made_by is None:
        return {"media": dataset.media}
    reads = splits_of(section, name, dataset)
    files = {f"{split}/{kind}": getattr(dataset.splits[split], kind) for split, kind, _ in reads}
    return {"media": dataset.media, "root": dataset.root, "frames": dataset.frames, "files": files}


def _data_digests(
    stage: str, experiment: Experiment, digests: FileDigests, missing: list[Missing]
) -> Iterator[tuple[str, str]]:
    """Digests of the user's own files that a stage reads, by a name for people; what is not there goes to `missing`."""
    section = experiment.stages[stage]
    for name in datasets_of(section):
        dataset = experiment.section.datasets[name]
        if dataset.made_by is not None:
            continue
        yield from _media_digest(section, name, dataset, digests, missing)
        for split, kind, _ in splits_of(section, name, dataset):
            file = getattr(dataset.splits[split], kind)
            if file is None:
                continue
            path = Path(file).expanduser()
            if path.is_file():
                yield f"{name}/{split}/{kind}", digests.of_file(path)
            else:
                is_plain = dataset.splits[split].captions == dataset.splits[split].questions
                field_name = f"datasets.{name}.splits.{split}" + ("" if is_plain else f".{kind}")
                missing.append(Missing(field_name, path, "file", name, split))
    yield from _weights_digests(stage, experiment, digests, missing)


def _weights_digests(
    stage: str, experiment: Experiment, digests: FileDigests, missing: list[Missing]
) -> Iterator[tuple[str, str]]:
    """Digests of the weights that a stage starts from, where they are the user's own files."""
    section = experiment.stages[stage]
    field_name = "checkpoint" if isinstance(section, EvaluateSection) else "init_from"
    reference = getattr(section, field_name, None)
    if reference is not None and is_path(reference):
        path = Path(reference).expanduser()
        found = locate(path)
        if found is None:
            missing.append(Missing(f"stages.{stage}.{field_name}", path, "checkpoint"))
        else:
            yield f"checkpoint {reference}", digests.of_file(found.weights)
    if isinstance(section, TrainSection) and reference is None:
        vision, text = experiment.section.model.vision.pretrained, experiment.section.model.text.pretrained
        if isinstance(vision, str):
            if Path(vision).is_file():
                yield "model.vision.pretrained", digests.of_file(Path(vision))
            else:
                missing.append(Missing("model.vision.pretrained", Path(vision), "file"))
        if isinstance(text, str):
            if Path(text).is_dir():
                yield "model.text.pretrained", digests.of_folder(Path(text))
            else:
                missing.append(Missing("model.text.pretrained", Path(text), "folder"))


def _media_digest(
    section: StageSection, name: str, dataset: DatasetSection, digests: FileDigests, missing: list[Missing]
) -> Iterator[tuple[str, str]]:
    needs_frames = dataset.media == "video" and not isinstance(section, ExtractSection)
    if needs_frames and dataset.frames is None:
        return  # the extract stage's fingerprint stands for the clips
    part, folder = ("frames", dataset.frames) if needs_frames else ("root", dataset.root)
    path = Path(str(folder)).expanduser()
    if not path.is_dir():
        missing.append(Missing(f"datasets.{name}.{part}", path, "folder", name, part))
    elif isinstance(section, ExtractSection):
        yield f"{name}/clips", digests.of_folder(path)
    else:
        # Frames and images are many: they are not walked. Their folder's place stands for them.
        yield f"{name}/{part}", f"folder {path.absolute()}"


def check_inputs(plan: Plan) -> None:
    """Look at what all stages that will run are to work with, before the first of them does: their batches, for the number of
    workers, and their annotation files, as far as they exist. Raises UserError for the first that is wrong."""
    check_batches(plan.experiment.section.cluster, {step.name: step.section for step in plan.to_run})
    check_annotations(plan)


def check_annotations(plan: Plan) -> None:
    """Read the annotation files of all stages that will run, as far as they exist, and raise the first error found.

    Files that a prepare stage has still to write are checked when they are read.

    Raises:
        UserError: with the file, the line and the entry that is wrong, or the file that a task cannot use.
    """
    checked: set[tuple[Any, ...]] = set()
    for step in plan.to_run:
        for read in annotation_files(step.name, step.section, plan.experiment):
            if read.identity not in checked and read.path.is_file():
                read.check()
                checked.add(read.identity)
