"""Decides what to run and why, by comparing the spec with the results on disk. It imports no torch, ray or mlflow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cosa.errors import UserError
from workflows.planning.annotation_files import WrongKindError, annotation_files
from workflows.planning.changes import nearest_changes
from workflows.planning.clip_changes import clip_changes
from workflows.planning.data import data_of
from workflows.planning.decoder_checks import unusable_decoders
from workflows.planning.digests import FileDigests
from workflows.planning.fingerprint import Basis, fingerprint_of
from workflows.planning.many_checksums import OnRead
from workflows.planning.missing import missing_lines
from workflows.planning.room import lacking_room, sections_of
from workflows.planning.selection import EVERYTHING, Selection, check_names
from workflows.planning.step import Step
from workflows.results.layout import CACHE_FOLDER
from workflows.results.locks import holder_of
from workflows.results.manifest import Manifest
from workflows.results.storage import Storage
from workflows.spec.experiment import Experiment
from workflows.spec.read import Missing
from workflows.spec.reads import datasets_read
from workflows.spec.scaling import batch_problems
from workflows.spec.stage_kinds import kind_of


@dataclass(frozen=True)
class Plan:
    """All steps in order.

    missing: what has to be provided before the experiment can run, one line each. selected: names of the stages that were asked
    for; results of others may be used. digests: of the files that it read, for those who read them once more.
    """

    experiment: Experiment
    storage: Storage
    steps: tuple[Step, ...]
    missing: tuple[str, ...]
    selected: frozenset[str]
    digests: FileDigests = field(repr=False, compare=False)

    @property
    def to_run(self) -> tuple[Step, ...]:
        """Return the steps that are neither done nor left out."""
        return tuple(step for step in self.steps if step.action in ("run", "blocked"))

    def datasets_of(self, stage: str) -> list[str]:
        """Return names of the datasets that a stage reads."""
        section = self.experiment.stages[stage]
        return datasets_read(kind_of(section).reads(section, self.experiment.section.datasets))

    def result_of(self, stage: str) -> Path:
        """Return where the result of a stage is, or will be: another experiment may have made it."""
        step = next(step for step in self.steps if step.name == stage)
        if step.fingerprint is None:
            raise UserError(f"stage {stage} has no result: {step.reason}")
        own = self.storage.result(stage, step.fingerprint)
        return own if step.forced else self.storage.existing(stage, step.fingerprint, step.kind) or own


def make_plan(
    experiment: Experiment,
    *,
    force: Collection[str] = (),
    selection: Selection = EVERYTHING,
    forced_before: Collection[Path] = (),
    on_read: OnRead | None = None,
) -> Plan:
    """Decide for every stage whether its result exists already.

    Args:
        experiment: a checked spec.
        force: stages to run even if their result exists; all stages that build on them run, too.
        selection: stages to run; others are left out, but their results are used.
        forced_before: results that this invocation has already started over, for another variant.
        on_read: called while folders of media are read, see `FileDigests`.

    Raises:
        UserError: a given stage does not exist, or a file cannot be read.
    """
    force = experiment.stages_named(force)
    check_names("--force", force, experiment)
    return _Planner(experiment, force, selection, forced_before, on_read).plan()


def digests_in(storage: Storage, on_read: OnRead | None = None) -> FileDigests:
    """Return digests of files with the caches of a storage."""
    return FileDigests(storage.root / CACHE_FOLDER, on_read)


class _Planner:
    """Plans one stage after the other, and uses what was decided about earlier ones."""

    def __init__(
        self,
        experiment: Experiment,
        force: Collection[str],
        selection: Selection,
        forced_before: Collection[Path],
        on_read: OnRead | None,
    ):
        self.experiment, self.force, self.forced_before = experiment, force, forced_before
        self.selection, self.chosen = selection, selection.stages(experiment)
        idle = [name for name in force if name not in self.chosen]
        if idle:
            raise UserError(f"--force: stage {idle[0]} is left out by {selection.as_options()}")
        self.storage = Storage(Path(experiment.section.storage).expanduser(), experiment.name)
        self.digests = digests_in(self.storage, on_read)
        self.missing: list[Missing] = []
        self.left_out: dict[str, list[str]] = {}  # Stages without a result that the selection leaves out, and who needs it.
        self.steps: dict[str, Step] = {}

    def plan(self) -> Plan:
        """Plan all stages."""
        for name in self.experiment.stages:
            before = len(self.missing)
            step = self._plan_stage(name)
            if name not in self.chosen:
                del self.missing[before:]
                step = self._left_out(step)
            self.steps[name] = self._blocked_if_left_out(step)
        self.digests.save()
        running = [step for step in self.steps.values() if step.action in ("run", "blocked")]
        no_room = lacking_room(self.experiment.section.cluster, sections_of(running))
        missing = (*missing_lines(self.missing, self.experiment), *self._left_out_lines(), *no_room)
        return Plan(self.experiment, self.storage, tuple(self.steps.values()), missing, self.chosen, self.digests)

    def _left_out(self, step: Step) -> Step:
        """Change a step that was not selected: its result is used, if it has one."""
        if step.action == "skip":
            return step
        if step.forced and self._has_result(step):
            reason = f"done before, and left out by {self.selection.as_options()}, although {step.reason}"
            return replace(step, action="skip", reason=reason, forced=False)
        return replace(step, action="left out", reason=f"by {self.selection.as_options()}", forced=False)

    def _has_result(self, step: Step) -> bool:
        """Return whether a step has a result that is intact at a glance."""
        return step.fingerprint is not None and self._intact(step, step.fingerprint) is not None

    def _intact(self, step: Step, fingerprint: str) -> Path | None:
        """Return the result that a step uses instead of running, its own or another's; None if there is none, or a damaged."""
        if self.storage.damage_of(step.name, self.storage.own(step.name, fingerprint)) is not None:
            return None
        return self.storage.existing(step.name, fingerprint, step.kind)

    def _blocked_if_left_out(self, step: Step) -> Step:
        """Return the step, blocked if it needs a result that does not exist, of a stage that was not selected."""
        lacking = [i for i in self.experiment.inputs[step.name] if self.steps[i].action == "left out"]
        if not lacking or step.action not in ("run", "blocked"):
            return step
        for name in lacking:
            self.left_out.setdefault(name, []).append(step.name)
        needed = f"needs {', '.join(lacking)}, left out"
        return replace(step, action="blocked", reason=needed, fingerprint=None, changes=(), reuses="")

    def _left_out_lines(self) -> Iterator[str]:
        """Yield a line for each result that stages need, that does not exist, and that the selection leaves out."""
        for name, needed_by in self.left_out.items():
            changes = self.steps[name].changes
            has = f"no result with these settings ({changes[0]})" if changes else "no result yet"
            who = f"stage{'s' if len(needed_by) > 1 else ''} {', '.join(needed_by)} need{'s' if len(needed_by) == 1 else ''}"
            options = self.selection.as_options()
            yield f"{who} {name}, which {options} leaves out and which has {has}; run it first, or select it, too"

    def _plan_stage(self, name: str) -> Step:
        section = self.experiment.stages[name]
        kind = kind_of(section)
        read, missing = data_of(name, self.experiment, self.digests)
        self.missing += missing
        inputs = {i: self.steps[i].fingerprint for i in self.experiment.inputs[name]}
        blocked_by = [i for i, fingerprint in inputs.items() if fingerprint is None]
        if blocked_by or missing:
            reason = f"needs {', '.join(blocked_by)}" if blocked_by else f"missing: {missing[0].short}"
            return Step(name, section, "blocked", reason, None, read=read)
        step = Step(
            name,
            section,
            "run",
            "",
            None,
            inputs={i: str(fingerprint) for i, fingerprint in inputs.items()},
            read=read,
            model=self.experiment.section.model.model_dump(mode="json") if kind.builds_model(section) else None,
            seed=kind.seed_of(section, self.experiment.section.seed),
            version=kind.version_of(section),
        )
        fingerprint = fingerprint_of(step, Basis(self.experiment, self.digests, inputs))
        forced_inputs = [i for i in step.inputs if self.steps[i].forced]
        if name in self.force or forced_inputs:
            return replace(self._decide_forced(step, fingerprint, forced_inputs), fingerprint=fingerprint, forced=True)
        return replace(self._decide(step, fingerprint), fingerprint=fingerprint)

    def _decide_forced(self, step: Step, fingerprint: str, forced_inputs: Sequence[str]) -> Step:
        """Return the step with what happens to it although it may have a result."""
        is_rerun = self.storage.existing(step.name, fingerprint, step.kind) is not None
        if self.storage.result(step.name, fingerprint) in self.forced_before:  # What builds on it is still forced.
            if not is_rerun or not self.storage.partial(step.name, fingerprint).is_dir():
                return self._decide(step, fingerprint, own=True)
        elif forced_inputs:
            return replace(step, reason="forced" if step.name in self.force else f"its input {forced_inputs[0]} is forced")
        if not is_rerun or not self.storage.is_unfinished(step.name, fingerprint):
            return replace(step, reason="forced")
        return replace(step, reason=f"forced again: {self._how(step, fingerprint)}", resumes=True)

    def _how(self, step: Step, fingerprint: str) -> str:
        """Say what becomes of unfinished work."""
        return kind_of(step.section).how_it_resumes(step.section, self.storage.partial(step.name, fingerprint))

    def _decide(self, step: Step, fingerprint: str, *, own: bool = False) -> Step:
        """Return the step with what happens to it. own: whether only a result of the stage itself counts."""
        resumes = self.storage.partial(step.name, fingerprint).is_dir()
        folder = self.storage.own(step.name, fingerprint)
        damaged = self.storage.damage_of(step.name, folder)
        if damaged is not None:
            unfinished = self.storage.is_unfinished(step.name, fingerprint)
            how = f"; the new one {self._how(step, fingerprint)}" if unfinished else ""
            return replace(step, reason=f"its result is damaged: {damaged}{how}", damaged=damaged, resumes=unfinished)
        found = self._intact(step, fingerprint)
        holder = holder_of(self.storage.lock_file(fingerprint)) if found is None or resumes else None
        if found is not None and (found == folder or not own) and holder is None:
            return replace(step, action="skip", reason=self._why_done(step, fingerprint, found))
        if holder is not None:
            return replace(step, reason=f"in progress: {holder}", resumes=resumes)
        if resumes:
            return replace(step, reason=f"interrupted: {self._how(step, fingerprint)}", resumes=True)
        basis = Basis(self.experiment, self.digests, dict(step.inputs))
        nearest = nearest_changes(step, self.storage.manifests(step.name), basis, partial(self._clips, step))
        step = replace(step, reuses=kind_of(step.section).reuses(step, basis, self.storage))
        if nearest is None:
            return replace(step, reason="new")
        differing = nearest or ("spec changed: datasets",)
        return replace(step, reason=differing[0], changes=differing)

    def _clips(self, step: Step, earlier: Manifest) -> dict[str, str]:
        return clip_changes(step, self.storage.own(step.name, earlier.fingerprint), self.experiment, self.digests)

    def _why_done(self, step: Step, fingerprint: str, found: Path) -> str:
        """Say where the result is that a step uses, and whether it was going to be made again."""
        is_own = found == self.storage.own(step.name, fingerprint)
        where = "" if is_own else f" as {found.parent.relative_to(self.storage.root)}"
        if is_own and self.storage.is_unfinished(step.name, fingerprint):
            how = self._how(step, fingerprint)
            return f"done; making it again was interrupted, and {how} with --force {step.name}"
        rerun = [name for name in step.inputs if self.steps[name].action == "run"]
        return f"done{where}" + (f" (its input {rerun[0]} gives the same result)" if rerun else "")


@dataclass(frozen=True)
class Mistake:
    """What is wrong with the input of a stage that will run. text: a sentence. about: the file or the field, in a few words."""

    stage: str
    text: str
    about: str


def check_inputs(plan: Plan) -> None:
    """Check the input of all stages that will run, before the first of them does.

    Raises:
        UserError: it lists all of `mistakes_of`.
    """
    refuse(mistakes_of(plan))


def check_annotations(plan: Plan) -> None:
    """Read the existing annotation files of all stages that will run.

    Raises:
        UserError: it lists all of `annotation_mistakes`.
    """
    refuse(annotation_mistakes(plan))


def refuse(mistakes: Sequence[Mistake]) -> None:
    """Raise UserError with all mistakes, each once, if there are any."""
    if mistakes:
        raise UserError("\n".join(dict.fromkeys(mistake.text for mistake in mistakes)))


def mistakes_of(plan: Plan) -> list[Mistake]:
    """Return the batches of stages that will run that the workers cannot split, or else what is wrong with annotation files."""
    running = sections_of(plan.to_run)
    if any(lacking_room(plan.experiment.section.cluster, running)):
        return annotation_mistakes(plan)  # The number of workers will change, and with it what batches they can split.
    batches = [
        Mistake(name, str(problem), "its batches")
        for name, section in running.items()
        for problem in batch_problems(plan.experiment, {name: section})
    ]
    return batches or [*_decoder_mistakes(plan), *annotation_mistakes(plan)]


def _decoder_mistakes(plan: Plan) -> list[Mistake]:
    """Return the decoders that stages which will run cannot use on this machine."""
    read = {step.name: plan.datasets_of(step.name) for step in plan.to_run}
    problems = unusable_decoders(plan.experiment.section.datasets, (name for names in read.values() for name in names))
    return [
        Mistake(stage, problems[name], f"datasets.{name}.decode.decoder")
        for stage, names in read.items()
        for name in names
        if name in problems
    ]


def annotation_mistakes(plan: Plan) -> list[Mistake]:
    """Read the existing annotation files of all stages that will run; return what is wrong with them.

    Each file's first mistake names the line and entry, or says that a task cannot use the file. Files that a prepare stage is
    yet to write are checked when they are read.
    """
    mistakes: list[Mistake] = []
    wrong_kind: dict[tuple[Path, str], str] = {}
    try:
        for step in plan.to_run:
            for file in annotation_files(step.name, step.section, plan.experiment):
                try:
                    if file.path.is_file():
                        file.check_once(plan.digests)
                except WrongKindError as error:  # One correction mends it for all stages.
                    text = wrong_kind.setdefault((file.path, file.use.kind), str(error))
                    mistakes.append(Mistake(step.name, text, str(file.path)))
                except UserError as error:
                    mistakes.append(Mistake(step.name, str(error), str(file.path)))
    finally:
        plan.digests.save()
    return mistakes


def blocked_by(mistakes: Sequence[Mistake], plan: Plan) -> Plan:
    """Return the plan in which stages with mistakes, and those that build on them, are blocked."""
    reasons: dict[str, str] = {}
    for step in plan.steps:
        about = [mistake.about for mistake in mistakes if mistake.stage == step.name]
        needed = [name for name in plan.experiment.inputs[step.name] if name in reasons]
        if step.action == "run" and (about or needed):
            reasons[step.name] = f"wrong: {about[0]}" if about else f"needs {', '.join(needed)}"
    steps = (
        replace(step, action="blocked", reason=reasons[step.name], changes=(), reuses="") if step.name in reasons else step
        for step in plan.steps
    )
    return replace(plan, steps=tuple(steps))
