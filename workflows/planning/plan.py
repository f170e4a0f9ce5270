"""Decides what to run and why, by comparing the spec with the results on disk. It imports no torch, ray or mlflow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cosa.errors import UserError
from cosa.extensions import Extension, is_from_extension
from workflows.planning.annotation_files import annotation_files
from workflows.planning.digests import FileDigests
from workflows.planning.fingerprint import changes, fingerprint_of
from workflows.planning.missing import missing_lines
from workflows.planning.selection import EVERYTHING, Selection, check_names
from workflows.planning.step import Step
from workflows.results.locks import holder_of
from workflows.results.manifest import read_manifest
from workflows.results.storage import Storage
from workflows.spec.experiment import Experiment
from workflows.spec.reads import Missing, datasets_read
from workflows.spec.scaling import check_batches
from workflows.spec.stage_kinds import kind_of


@dataclass(frozen=True)
class Plan:
    """All steps in order. missing: what has to be provided before the experiment can run, one line each."""

    experiment: Experiment
    storage: Storage
    steps: tuple[Step, ...]
    missing: tuple[str, ...]

    @property
    def to_run(self) -> tuple[Step, ...]:
        """Return the steps that are neither done nor left out."""
        return tuple(step for step in self.steps if step.action in ("run", "blocked"))

    def datasets_of(self, stage: str) -> list[str]:
        """Return names of the datasets that a stage reads."""
        section = self.experiment.stages[stage]
        return datasets_read(kind_of(section).reads(section, self.experiment.section.datasets))

    def result_of(self, stage: str) -> Path:
        """Return where the result of a stage is, or will be."""
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
        force: stages to run even if their result exists; all stages that build on them run, too.
        selection: stages to run; others are left out, but their results are used.
        forced_before: results that this invocation has already started over, for another variant.

    Raises:
        UserError: a given stage does not exist, a selected one needs one that is left out and has no result, a file cannot be
            read, or a result's manifest is damaged.
    """
    force = experiment.stages_named(force)
    check_names("--force", force, experiment)
    return _Planner(experiment, force, selection, forced_before).plan()


class _Planner:
    """Plans one stage after the other, and uses what was decided about earlier ones."""

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
        """Change a step that was not selected: its result is used, if it has one."""
        if step.action == "skip":
            return step
        if step.forced and step.fingerprint and read_manifest(self.storage.result(step.name, step.fingerprint)) is not None:
            reason = f"done before, and left out by {self.selection.as_options()}, although {step.reason}"
            return replace(step, action="skip", reason=reason, forced=False)
        return replace(step, action="left out", reason=f"by {self.selection.as_options()}", forced=False)

    def _check_inputs(self, step: Step) -> None:
        lacking = [i for i in self.experiment.inputs[step.name] if self.steps[i].action == "left out"]
        if lacking and step.action in ("run", "blocked"):
            raise UserError(
                f"stage {step.name} needs {', '.join(lacking)}, which {self.selection.as_options()} leaves out and which has "
                "no result yet; run it first, or select it, too"
            )

    def _plan_stage(self, name: str) -> Step:
        section = self.experiment.stages[name]
        kind = kind_of(section)
        before = len(self.missing)
        data = self._data_of(name)
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
            model=self.experiment.section.model.model_dump(mode="json") if kind.builds_model(section) else None,
            seed=self.experiment.section.seed if kind.is_seeded else 0,
            version=kind.version_of(section),
        )
        fingerprint = fingerprint_of(step, self.experiment)
        forced_inputs = [i for i in step.inputs if self.steps[i].forced]
        if name in self.force or forced_inputs:
            if self.storage.result(name, fingerprint) in self.forced_before:  # What builds on it is still forced.
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
            return replace(step, reason=f"in progress: {holder}", resumes=resumes)
        if resumes:
            return replace(step, reason="interrupted: resumes where it stopped", resumes=True)
        previous = self.storage.latest_manifest(step.name)
        if previous is None:
            return replace(step, reason="new")
        found = tuple(changes(step, previous)) or ("spec changed: datasets",)
        fields = [change for change in found if change.startswith(f"spec changed: stages.{step.name}.")]
        more = f" and {len(fields) - 1} more" if len(fields) > 1 and previous.kind == step.kind else ""
        return replace(step, reason=found[0] + more, changes=found)

    def _data_of(self, stage: str) -> dict[str, str]:
        """Return digests of the user's own files that a stage reads, by a readable name; add missing ones to `missing`."""
        experiment, section = self.experiment.section, self.experiment.stages[stage]
        data: dict[str, str] = {}
        for read in kind_of(section).reads(section, experiment.datasets):
            for found in read.digests(experiment, stage, self.digests):
                if isinstance(found, Missing):
                    self.missing.append(found)
                else:
                    data[_distinct_name(data, *found)] = found[1]
        kind = kind_of(section)
        if kind.uses_extensions(section) or is_from_extension(kind):
            names = _file_names(self.experiment.extensions)
            data |= {f"extension {n}": e.digest for n, e in zip(names, self.experiment.extensions, strict=True)}
        return data


def _distinct_name(data: Mapping[str, str], name: str, digest: str) -> str:
    """Return a name for what is read: its own, numbered where another thing that is read has the same."""
    number, free = 1, name
    while data.get(free, digest) != digest:
        number += 1
        free = f"{name} ({number})"
    return free


def _file_names(extensions: Sequence[Extension]) -> list[str]:
    """Return a name for every file: its own, numbered where several files have the same."""
    names = [Path(extension.file).name for extension in extensions]
    return [name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})" for i, name in enumerate(names)]


def check_inputs(plan: Plan) -> None:
    """Check the input of all stages that will run, before the first of them does.

    These are their batches, which have to fit the number of workers, and those of their annotation files that exist.

    Raises:
        UserError: for the first mistake.
    """
    check_batches(plan.experiment.section.cluster, {step.name: step.section for step in plan.to_run})
    check_annotations(plan)


def check_annotations(plan: Plan) -> None:
    """Read the existing annotation files of all stages that will run, and raise the first error found.

    Files that a prepare stage is yet to write are checked when they are read.

    Raises:
        UserError: it names the file, line and entry that is wrong, or the file that a task cannot use.
    """
    checked: set[tuple[object, ...]] = set()
    for step in plan.to_run:
        for file in annotation_files(step.name, step.section, plan.experiment):
            if file.identity not in checked and file.path.is_file():
                file.check()
                checked.add(file.identity)
