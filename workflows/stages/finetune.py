"""Declares the finetune stage, which trains one task on one dataset (paper, section 4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PositiveInt

from cosa.data.order_settings import OrderSettings
from cosa.evaluation.metric import Metric
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.section import OneOf, Section, fields_of, with_fields
from cosa.tasks.all_tasks import TASKS, EvaluationSettings, FinetuningSwitches, misplaced
from cosa.tasks.task import TextLength
from workflows.execution.training_stage import TrainedSplit, TrainingKind, TrainSection, Validation
from workflows.spec.read import Read
from workflows.spec.reads import AnnotationsRead, MediaRead, naming_clips
from workflows.spec.sections import DatasetSection, ExperimentSection, StageSection
from workflows.spec.smoke import SMOKE_BATCH
from workflows.spec.stage_kind import GlobalBatch, Lineage, Report

if TYPE_CHECKING:
    from cosa.behaviour import Behaviour
    from cosa.data.batches import Corpus
    from cosa.data.dataset_files import DatasetFiles
    from workflows.execution.context import StageContext
    from workflows.records.outcome import StageOutcome

VALIDATION_SPLITS = ("validation", "val", "test")  # Training validates on the first of these that a dataset has.


class FinetuneSection(TrainSection, OrderSettings, EvaluationSettings, FinetuningSwitches):
    """Train one task on one dataset and save the checkpoint that is best in validation (paper, section 4)."""

    kind: Literal["finetune"]
    task: Annotated[str, OneOf(TASKS)] = Field(description="what to learn")
    dataset: str = Field(description="name of a dataset")
    train_split: str = Field("train", description="split to train on")
    validation_split: str | None = Field(
        None,
        description="split that selects the checkpoint; left out: the dataset's first of validation, val and test",
    )
    epochs: float = Field(
        gt=0, description="passes over the training split, each in as many full batches as it has; fractions are allowed"
    )
    batch_size: PositiveInt = Field(64, description="samples per step over all workers")
    itm_ratio: float = Field(0.1, ge=0, description="weight of the matching loss in retrieval finetuning")
    zero_shot_first: bool = Field(False, description="validate once before training")


class Finetune(TrainingKind[FinetuneSection]):
    """Trains a task, and selects its checkpoint by validation."""

    name = "finetune"
    section = FinetuneSection
    version = 2

    def section_for(self, data: Mapping[str, Any]) -> type[FinetuneSection]:
        """Return the section with the fields of its task added, where it does not have them by itself."""
        task = TASKS.get(str(data.get("task")))
        return self.section if task is None else with_fields(self.section, task.settings, task.training_settings)

    def smoke_fields(self, data: Mapping[str, Any], spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return fields for a training of few steps."""
        return {**super().smoke_fields(data, spec, folder), "epochs": 0.1, "batch_size": SMOKE_BATCH}

    def inherited(
        self, section: FinetuneSection, experiment: ExperimentSection, stages: Mapping[str, StageSection]
    ) -> FinetuneSection:
        """Fill in the validation split, besides what all training stages inherit."""
        split = _validation_split(section, experiment.datasets)
        return super().inherited(section, experiment, stages).model_copy(update={"validation_split": split})

    def check(self, name: str, section: FinetuneSection, datasets: Mapping[str, DatasetSection], report: Report) -> None:
        """Report fields of other tasks, and fields that need a validation split where there is none."""
        super().check(name, section, datasets, report)
        where = ("stages", name)
        own = TASKS[section.task]
        for objective in sorted(self.objectives(section) & set(OBJECTIVES)):
            if OBJECTIVES[objective].questions != (own.annotations == "questions"):
                wanted = "questions" if OBJECTIVES[objective].questions else "captions"
                report(f"task {own.name} has {own.annotations}, but its objective {objective} needs {wanted}", *where, "task")
        for field, message in misplaced(section, [own], f"the task is {section.task}"):
            report(message, *where, field)
        if section.dataset in datasets and _validation_split(section, datasets) is None:
            lacks = (
                f"dataset {section.dataset!r} has none of {', '.join(VALIDATION_SPLITS)} with "
                f"{TASKS[section.task].annotations}; set validation_split"
            )
            if section.sweep is not None:
                report(f"a sweep needs a split to select by, but {lacks}", *where, "sweep")
            if section.zero_shot_first:
                report(f"there is no split to validate on: {lacks}", *where, "zero_shot_first")

    def objectives(self, section: FinetuneSection) -> set[str]:
        """Return those of the task."""
        return set(TASKS[section.task].objectives(section))

    def settings_read(self, section: FinetuneSection) -> Iterable[type[Section]]:
        """Yield those of the task, too."""
        task = TASKS[section.task]
        yield from (*super().settings_read(section), task.settings, task.training_settings)

    def unused(self, section: FinetuneSection) -> Collection[str]:
        """Return the fields of other tasks, too."""
        of_tasks = fields_of([EvaluationSettings, FinetuningSwitches])
        return {*super().unused(section), *(of_tasks - fields_of([TrainSection, *self.settings_read(section)]))}

    def corpora(
        self, section: FinetuneSection, datasets: Mapping[str, DatasetFiles], resolution: int, behaviour: Behaviour
    ) -> list[Corpus]:
        """Return the training split, with as many steps as its epochs take."""
        from cosa.training.building import finetuning_corpus

        return [
            finetuning_corpus(
                TASKS[section.task],
                datasets[section.dataset],
                section.train_split,
                section,
                epochs=section.epochs,
                batch_size=section.batch_size,
                resolution=resolution,
                behaviour=behaviour,
                order=section,
            )
        ]

    def concatenated(self, section: FinetuneSection) -> int:
        """Return 1, because only pretraining concatenates."""
        del section
        return 1

    def data_reads(self, section: FinetuneSection) -> Iterable[Read]:
        """Yield pictures, and annotations of the training and the validation split."""
        task, split = TASKS[section.task], section.validation_split
        trained = task.trained_annotations(section.train_split, section.batch_size)
        validated = task.evaluated_annotations(section, split) if split is not None else ()
        yield MediaRead(("dataset",), section.dataset, named_by=naming_clips(trained, *validated))
        yield AnnotationsRead(("train_split",), section.dataset, trained)
        for use in validated:
            yield AnnotationsRead(("validation_split",), section.dataset, use)

    def trained_splits(self, section: FinetuneSection) -> Iterator[TrainedSplit]:
        """Yield the training split."""
        yield TrainedSplit(section.dataset, section.train_split, section.batch_size, section)

    def validation(self, section: FinetuneSection) -> Validation | None:
        """Validate the task on the validation split, if there is one."""
        if section.validation_split is None:
            return None
        return Validation(section.dataset, section.validation_split, section.task, section.zero_shot_first)

    def measured(self, section: FinetuneSection) -> tuple[Metric, ...]:
        """Return the task's validation metrics, the main one first."""
        task = TASKS[section.task]
        names = [task.main_metric, *(name for name in task.validation_metrics(section) if name != task.main_metric)]
        return tuple(task.metric(name) for name in names)

    def learns(self, section: FinetuneSection) -> str:
        """Return the task."""
        return section.task

    def why_not_measured(self, metric: str, section: FinetuneSection) -> str | None:
        """Return what the task says about it."""
        return TASKS[section.task].why_left_out(metric, section)

    def batches(self, section: FinetuneSection) -> Iterator[GlobalBatch]:
        """Yield the batch of the training split."""
        yield GlobalBatch(("batch_size",), section.batch_size, TASKS[section.task].objectives(section), section.accumulate)

    def samples_seen(self, section: FinetuneSection, steps: int) -> int:
        """Return a batch for each step."""
        return steps * section.batch_size

    def text_lengths(self, section: FinetuneSection) -> Iterator[TextLength]:
        """Yield those of the task."""
        yield from TASKS[section.task].text_lengths(section)

    def lineage(self, section: FinetuneSection) -> Lineage:
        """Return its training split, and the validation split that selects its checkpoint."""
        selected = None if section.validation_split is None else (section.dataset, section.validation_split)
        return Lineage(section.init_from, ((section.dataset, section.train_split),), selected, section.task)

    def run(self, context: StageContext[FinetuneSection]) -> StageOutcome:
        """Train with Ray Train, or run a sweep with Ray Tune."""
        from workflows.execution.train import train

        return train(context)


def _validation_split(section: FinetuneSection, datasets: Mapping[str, DatasetSection]) -> str | None:
    """Return the split by which the checkpoint is selected."""
    if section.validation_split is not None or section.dataset not in datasets:
        return section.validation_split
    splits, wanted = datasets[section.dataset].splits, TASKS[section.task].annotations
    return next((s for s in VALIDATION_SPLITS if s in splits and getattr(splits[s], wanted) is not None), None)
