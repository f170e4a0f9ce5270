"""Evaluates a checkpoint on a split, beside the baselines that its numbers have to be compared with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from cosa.checkpoints.locate import locate
from cosa.checkpoints.settings import SETTINGS, read_settings
from cosa.data.extraction_settings import ExtractionSettings
from cosa.errors import UserError
from cosa.section import OneOf, fields_of, no_effect, with_fields
from cosa.tasks.all_tasks import TASKS, EvaluationSettings, EvaluationSwitches, evaluation_fields, misplaced
from cosa.tasks.task import TextLength
from workflows.spec.checkpoint_reads import CheckpointRead
from workflows.spec.experiment import Experiment
from workflows.spec.extractions import extraction_of, extraction_trained_on
from workflows.spec.problems import did_you_mean
from workflows.spec.read import Read
from workflows.spec.reads import AnnotationsRead, MediaRead, naming_clips
from workflows.spec.references import is_path
from workflows.spec.sections import BehaviourMixin, DatasetSection, ExperimentSection, StageSection, WorkersMixin
from workflows.spec.smoke import small_samples
from workflows.spec.stage_kind import Lineage, Report, StageKind
from workflows.spec.stage_kinds import kind_of

if TYPE_CHECKING:
    from workflows.execution.context import StageContext
    from workflows.records.outcome import StageOutcome


# Figures depend on these fields, so that other values than those of the training are noted.
COMPARED_FIELDS = (
    "transforms", "resolution", "max_text_tokens", "max_answer_tokens", "beam_size", "length_penalty", "max_caption_tokens",
    "behaviour",
)  # fmt: skip
UNLIKE_TRAINING = "unlike_training"  # of `Manifest.details`: what was evaluated otherwise than it was trained


class EvaluateSection(StageSection, EvaluationSettings, EvaluationSwitches, WorkersMixin, BehaviourMixin):
    """Evaluate a checkpoint; straight from pretraining that is zero-shot.

    Fields of clips and evaluation that are left out are those of the training that made the checkpoint: of its stage, or of the
    settings that lie beside it.
    """

    kind: Literal["evaluate"]
    checkpoint: str = Field(
        description="a training stage, or a checkpoint: a folder of ours, a published folder or file (a path with a slash)"
    )
    dataset: str = Field(description="name of a dataset")
    split: str = Field("test", description="split to evaluate on")
    tasks: tuple[Annotated[str, OneOf(TASKS)], ...] = Field(min_length=1, description="what to evaluate; each task once")
    baseline_split: str = Field("train", description="split that the constant caption and the most frequent answer come from")
    published: dict[str, float] = no_effect(default_factory=dict, description="published metrics, shown beside ours")

    @field_validator("tasks")
    @classmethod
    def _each_task_once(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tasks)) != len(tasks):
            raise ValueError("a task is listed twice")
        return tasks


class Evaluate(StageKind[EvaluateSection]):
    """Computes metrics and predictions of every task."""

    name = "evaluate"
    section = EvaluateSection
    version = 1

    def section_for(self, data: Mapping[str, Any]) -> type[EvaluateSection]:
        """Return the section with the fields of its tasks added, where it does not have them by itself."""
        given = data.get("tasks")
        tasks = [TASKS[name] for name in map(str, given) if name in TASKS] if isinstance(given, list | tuple) else []
        settings = dict.fromkeys(own for task in tasks for own in (task.settings, task.evaluation_settings))
        made: type[EvaluateSection] = with_fields(self.section, *settings)
        return made

    def smoke_fields(self, data: Mapping[str, Any], spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return fields for an evaluation on few frames, whose figures are not to be compared with published ones."""
        del spec, folder
        return {**small_samples(data), "workers": 1, **({"published": None} if "published" in data else {})}

    def inherited(
        self, section: EvaluateSection, experiment: ExperimentSection, stages: Mapping[str, StageSection]
    ) -> EvaluateSection:
        """Fill in the experiment's behaviour, and fields of clips and evaluation from the stage that trained the checkpoint."""
        changes: dict[str, Any] = {} if "behaviour" in section.model_fields_set else {"behaviour": experiment.behaviour}
        settings = _trained_with(section.checkpoint, stages)
        if settings is not None:
            names = evaluation_fields(TASKS[task] for task in section.tasks) - section.model_fields_set
            changes |= {name: settings[name] for name in names if name in settings}
        return _with(section, changes)

    def unused(self, section: EvaluateSection) -> Collection[str]:
        """Return the fields of other tasks, and the split of baselines that need none."""
        tasks = [TASKS[name] for name in section.tasks]
        unused = fields_of([EvaluationSettings, EvaluationSwitches]) - fields_of(
            own for task in tasks for own in (task.settings, task.evaluation_settings)
        )
        needs_split = any(task.baseline_annotations(section, section.baseline_split) for task in tasks)
        return unused if needs_split else {*unused, "baseline_split"}

    def reads(self, section: EvaluateSection, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        """Yield pictures and annotations of the split, annotations of the baseline's split, and the checkpoint."""
        evaluated = (use for task in section.tasks for use in TASKS[task].evaluated_annotations(section, section.split))
        yield MediaRead(("dataset",), section.dataset, named_by=naming_clips(*evaluated))
        splits = datasets[section.dataset].splits if section.dataset in datasets else {}
        for name in section.tasks:
            for use in TASKS[name].evaluated_annotations(section, section.split):
                yield AnnotationsRead(("split",), section.dataset, use)
            for use in TASKS[name].baseline_annotations(section, section.baseline_split):
                if section.baseline_split in splits:
                    yield AnnotationsRead(("baseline_split",), section.dataset, use)
        yield CheckpointRead("checkpoint", section.checkpoint)

    def check(self, name: str, section: EvaluateSection, datasets: Mapping[str, DatasetSection], report: Report) -> None:
        """Report a wrong split of the baseline, fields of other tasks, and unknown names of published metrics."""
        where = ("stages", name)
        dataset = datasets.get(section.dataset)
        if (
            dataset is not None
            and "baseline_split" in section.model_fields_set
            and section.baseline_split not in dataset.splits
        ):
            message = f"dataset {section.dataset!r} has no split {section.baseline_split!r}"
            report(f"{message}{did_you_mean(section.baseline_split, dataset.splits)}", *where, "baseline_split")
        tasks = f"the tasks are {', '.join(section.tasks)}"
        for field, message in misplaced(section, [TASKS[task] for task in section.tasks], tasks):
            report(message, *where, field)
        known = [metric.name for task in section.tasks for metric in TASKS[task].metrics]
        for metric in section.published:
            if metric not in known:
                report(f"evaluation computes no metric {metric!r}{did_you_mean(metric, known)}", *where, "published", metric)

    def check_with_others(self, name: str, section: EvaluateSection, experiment: Experiment, report: Report) -> None:
        """Report a submission on a split that also selects a checkpoint, because such a split has no answers.

        Also clips for a checkpoint from elsewhere of which nobody knows how many frames of them it wants.
        """
        dataset = experiment.section.datasets.get(section.dataset)
        has_clips = dataset is not None and dataset.media == "video"
        known = section.model_fields_set & {"train_frames", "eval_frames"}  # of the spec, or taken from the checkpoint
        # Where there is no checkpoint the plan says so.
        if (
            has_clips
            and not known
            and is_path(section.checkpoint)
            and locate(Path(section.checkpoint).expanduser()) is not None
        ):
            report(
                f"{section.checkpoint} does not say how many frames of a clip it was trained with; set eval_frames",
                "stages", name, "checkpoint",
            )  # fmt: skip
        uses = (use for task in section.tasks for use in TASKS[task].evaluated_annotations(section, section.split))
        if all(use.with_answers for use in uses if use.kind == "questions"):
            return
        for other, stage in experiment.stages.items():
            lineage = kind_of(stage).lineage(stage)
            selected = lineage.selected_on if lineage is not None else None
            if selected is not None and selected[0] == section.dataset and experiment.same_split(*selected, section.split):
                report(
                    f"split {section.split!r} has no answers, but {other} selects its checkpoint by it; "
                    f"set stages.{other}.validation_split, or leave out submission",
                    "stages", name, "submission",
                )  # fmt: skip

    def notes(self, name: str, section: EvaluateSection, experiment: Experiment) -> Iterator[str]:
        """Warn of scores that are optimistic because the model has seen the split, or low because it never learned the task.

        Also of settings that are not those of the training.
        """
        for how, ours, trained in _differences(section, experiment):
            yield f"{name} evaluates {how} {ours}; {section.checkpoint} was trained with {trained}"
        ancestors = list(_ancestors(section.checkpoint, experiment))
        here = f"{section.dataset}/{section.split}"

        def is_ours(split: tuple[str, str] | None) -> bool:
            return split is not None and split[0] == section.dataset and experiment.same_split(*split, section.split)

        trained_on = [other for other, lineage in ancestors if any(map(is_ours, lineage.trained_on))]
        if trained_on:
            yield f"{name} reports on {here}, on which {' and '.join(trained_on)} trained"
        selecting = [other for other, lineage in ancestors if is_ours(lineage.selected_on)]
        if selecting:
            yield (
                f"{name} reports on {here}, by which {' and '.join(selecting)} selected the best checkpoint: "
                "its scores are optimistic (the published recipes do this too)"
            )
        yield from _not_learned(name, section, ancestors)

    def text_lengths(self, section: EvaluateSection) -> Iterator[TextLength]:
        """Yield those of its tasks."""
        for task in section.tasks:
            yield from TASKS[task].text_lengths(section)

    def lineage(self, section: EvaluateSection) -> Lineage:
        """Return that of the checkpoint."""
        return Lineage(section.checkpoint)

    def measured_on(self, section: EvaluateSection) -> tuple[str, str]:
        """Return its dataset and split."""
        return section.dataset, section.split

    def published(self, section: EvaluateSection) -> Mapping[str, float]:
        """Return those of its section."""
        return section.published

    def shows_parts(self, section: EvaluateSection) -> bool:
        """Return whether one of its tasks shows them."""
        return any(TASKS[task].shows_parts(section) for task in section.tasks)

    def workers(self, section: EvaluateSection) -> int:
        """Return its number of workers: one, unless the section says more."""
        return section.workers or 1

    def run(self, context: StageContext[EvaluateSection]) -> StageOutcome:
        """Evaluate on Ray workers, and compute the baselines here."""
        from workflows.execution.task_evaluation import evaluate

        outcome = evaluate(context)
        differences = [
            f"{how.removeprefix('with ')} {ours} (trained with {trained})"
            for how, ours, trained in _differences(context.section, context.plan.experiment)
        ]
        if differences:
            outcome.details[UNLIKE_TRAINING] = "; ".join(differences)
        return outcome


def _differences(section: EvaluateSection, experiment: Experiment) -> Iterator[tuple[str, Any, Any]]:
    """Yield what differs from the training of the checkpoint, as far as that is known: how, the value here, the one there."""
    settings = _trained_with(section.checkpoint, experiment.stages) or {}
    yield from _different(
        "with frames", section.frames_in_evaluation, settings.get("eval_frames") or settings.get("train_frames")
    )
    used = fields_of(TASKS[task].settings for task in section.tasks) | {"behaviour"}
    for field in COMPARED_FIELDS:
        if field in used:
            yield from _different(f"with {field}", getattr(section, field), settings.get(field))
    by_stage = section.checkpoint in experiment.stages
    trained = extraction_trained_on(section.checkpoint, experiment) if by_stage else settings.get("extraction")
    yield from _other_extraction(section.dataset, extraction_of(section.dataset, experiment), trained)


def _other_extraction(
    dataset: str, ours: Mapping[str, Any] | None, trained: Mapping[str, Any] | None
) -> Iterator[tuple[str, Any, Any]]:
    """Yield how frames are taken otherwise than those that the model was trained on, as far as both are known."""
    if ours is None or trained is None:
        return
    here, there = (ExtractionSettings(**fields) for fields in (ours, trained))
    left = set(ours)
    if here.frames_per_clip != there.frames_per_clip:
        yield f"on frames of {dataset}, taken:", here.taken_at, there.taken_at
        left -= {"fps", "frames_per_clip"}
    for field in (name for name in ours if name in left):
        yield from _different(f"on frames of {dataset} with {field}", ours[field], trained.get(field))


def _different(how: str, ours: Any, trained: Any) -> Iterator[tuple[str, Any, Any]]:
    if trained is not None and ours != trained:
        yield how, ours, trained


def _not_learned(name: str, section: EvaluateSection, ancestors: Sequence[tuple[str, Lineage]]) -> Iterator[str]:
    """Warn of tasks that the checkpoint was not finetuned for, if it was finetuned. What came before a path is not known."""
    learned = [lineage.task for _, lineage in ancestors if lineage.task is not None]
    start = ancestors[-1][1].starts_from if ancestors else section.checkpoint
    from_path = start if start is not None and is_path(start) else None
    if from_path is not None:
        task = (read_settings(Path(from_path).expanduser()) or {}).get("task")
        learned += [task] if isinstance(task, str) else []
    for task in section.tasks if learned else ():
        if task not in learned:
            how = f"was finetuned for {learned[0]} and never for {task}"
            how = how if from_path is None else f"was last finetuned for {learned[0]}, and perhaps never for {task}"
            yield f"{name} evaluates {task} on {section.checkpoint}, which {how}: expect low scores"


def _trained_with(checkpoint: str, stages: Mapping[str, StageSection]) -> dict[str, Any] | None:
    """Return the fields of the training that made a checkpoint, whether a stage or a path names it; None if nothing tells."""
    if is_path(checkpoint):
        return read_settings(Path(checkpoint).expanduser())
    trained = stages.get(checkpoint)
    if trained is None or kind_of(trained).produces != "checkpoint":
        return None
    return {name: getattr(trained, name) for name in type(trained).model_fields}


def _with(section: EvaluateSection, changes: Mapping[str, Any]) -> EvaluateSection:
    """Return a section with other values of some fields, which may come from a file."""
    try:
        checked = type(section).model_validate({**section.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if is_path(section.checkpoint):
            where = f"{Path(section.checkpoint).expanduser() / SETTINGS}: {field}: {first['msg']}; correct it there"
        else:
            where = f"{field}, which stage {section.checkpoint} gives to the evaluation of its checkpoint: {first['msg']}"
        raise UserError(f"{where}, or set it in the stage that evaluates") from error
    return section.model_copy(update={name: getattr(checked, name) for name in changes})


def _ancestors(checkpoint: str, experiment: Experiment) -> Iterator[tuple[str, Lineage]]:
    """Yield the stage that trained a checkpoint, the one that it started from, and so on, with their lineages."""
    seen: set[str] = set()
    name: str | None = checkpoint
    while name is not None and name not in seen and name in experiment.stages:
        kind = kind_of(experiment.stages[name])
        lineage = kind.lineage(experiment.stages[name]) if kind.produces == "checkpoint" else None
        if lineage is None:
            return
        seen.add(name)
        yield name, lineage
        name = lineage.starts_from
