"""Defines what pretraining and finetuning share: the fields of a stage that trains, and what has to be known about it."""

from __future__ import annotations

import glob
import itertools
import re
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import Field, model_validator

from cosa.checksums import CHECKSUMS
from cosa.data.order_settings import OrderSettings
from cosa.evaluation.metric import Metric
from cosa.objectives.all_objectives import OBJECTIVES, settings_of
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.section import Section, fields_of, no_effect
from cosa.tasks.task import TextLength
from cosa.training.training_settings import TrainingSettings
from workflows.execution.sweep_checks import check_sweep_section, check_trials
from workflows.execution.trial_identity import count_finished
from workflows.execution.trials import TrialBook, planned
from workflows.results.layout import RAY_FOLDER, STORAGE_NOTE, TRIALS_FOLDER
from workflows.spec.checkpoint_reads import CheckpointRead
from workflows.spec.experiment import Experiment
from workflows.spec.problems import did_you_mean
from workflows.spec.read import Read
from workflows.spec.reads import PretrainedRead, datasets_read
from workflows.spec.scaling import batch_problem
from workflows.spec.sections import BehaviourMixin, DatasetSection, ExperimentSection, Name, StageSection, WorkersMixin
from workflows.spec.smoke import entries_of, small_samples
from workflows.spec.stage_kind import Report, StageKind
from workflows.spec.sweep import Draw, SweepSection, check_sweep

if TYPE_CHECKING:
    from cosa.behaviour import Behaviour
    from cosa.data.batches import Corpus
    from cosa.data.dataset_files import DatasetFiles

BATCH_FIELDS = ("batch_size", "accumulate", "corpora")  # They decide what workers have to split.


class TrainSection(StageSection, TrainingSettings, WorkersMixin, BehaviourMixin):
    """The fields that pretraining and finetuning share."""

    init_from: str | None = Field(
        None,
        description="a training stage, or a checkpoint: a folder of ours, a published folder or file (a path with a slash); "
        "left out: the model section",
    )
    register_as: Name | None = no_effect(
        default=None,
        description="registered model in MLflow of which the stage's model becomes a version; the best one is its `champion`",
    )
    profile: bool = no_effect(
        default=False,
        description="record some steps with torch.profiler: a trace, and a table of what costs most, in the results and MLflow",
    )
    seed: int | None = no_effect(  # The seed of the stage is in its fingerprint, whoever says it.
        default=None, ge=0, lt=2**31, description="seed of this stage; left out: that of the experiment"
    )
    sweep: SweepSection | None = Field(None, description="try several values of fields, and select the best")

    @property
    def changes_loss(self) -> tuple[str, ...]:
        """Return fields that a sweep may not vary, because it compares losses."""
        return ()

    @model_validator(mode="after")
    def _possible_sweep(self) -> TrainSection:
        if self.sweep is not None:
            check_sweep(self, self.sweep, self.changes_loss)
        return self


@dataclass(frozen=True)
class Validation:
    """What training validates on at its stops. before_training: also once at the start, which is zero-shot."""

    dataset: str
    split: str
    task: str
    before_training: bool


class TrainedSplit(NamedTuple):
    """A split that is trained on. batch_size: over all workers. order: how it is shuffled."""

    dataset: str
    split: str
    batch_size: int
    order: OrderSettings


T = TypeVar("T", bound=TrainSection)


class TrainingKind(StageKind[T]):
    """A kind of stage that trains a model and saves its best checkpoint."""

    produces = "checkpoint"
    headline = ("final_loss",)

    def seed_of(self, section: T, seed: int) -> int:
        """Return the section's own seed, if it has one."""
        return seed if section.seed is None else section.seed

    # -- what it trains and how it is judged ---------------------------------------------------------------------------

    @abstractmethod
    def objectives(self, section: T) -> set[str]:
        """Return names of all objectives."""

    @abstractmethod
    def corpora(self, section: T, datasets: Mapping[str, DatasetFiles], resolution: int, behaviour: Behaviour) -> list[Corpus]:
        """Return what is trained on. resolution: side of the model's input image, pixels."""

    @abstractmethod
    def concatenated(self, section: T) -> int:
        """Return how many samples are concatenated into one, where objectives ask for it."""

    def mixing(self, section: T) -> str:
        """Return how corpora take turns, a name in `MIXINGS`."""
        del section
        return "proportional"

    def most_frames(self, section: T) -> int:
        """Return the frames of a clip in the samples that have most of them."""
        return section.train_frames

    def with_default_frames(self, section: T) -> list[str]:
        """Return the datasets for whose clips the spec does not say how many frames are trained on."""
        return [] if "train_frames" in section.model_fields_set else datasets_read(self.data_reads(section))

    @abstractmethod
    def data_reads(self, section: T) -> Iterable[Read]:
        """Yield what it reads from datasets."""

    @abstractmethod
    def validation(self, section: T) -> Validation | None:
        """Return what it validates on; None if it does not validate."""

    def trained_splits(self, section: T) -> Iterator[TrainedSplit]:
        """Yield what it trains on, as far as it may be in shards."""
        del section
        yield from ()

    @abstractmethod
    def measured(self, section: T) -> tuple[Metric, ...]:
        """Return the metrics that are known at the stops of a training; the first one selects by default."""

    @abstractmethod
    def learns(self, section: T) -> str:
        """Return a name of what it learns, for messages."""

    def why_not_measured(self, metric: str, section: T) -> str | None:
        """Say how to get a metric that is not measured; None if no setting would help."""
        del metric, section
        return None

    def selection_metric(self, section: T) -> Metric | None:
        """Return the metric that selects the checkpoint; None selects the last one."""
        if section.sweep is not None and section.sweep.metric is not None:
            return next(metric for metric in self.measured(section) if metric.name == section.sweep.metric)
        is_judged = section.sweep is not None or self.validation(section) is not None
        return self.measured(section)[0] if is_judged else None

    def settings_read(self, section: T) -> Iterable[type[Section]]:
        """Yield the settings of what it trains. Trials of a sweep may train other objectives than the stage."""
        yield from settings_of(OBJECTIVES if section.sweep is not None else self.objectives(section))

    def smoke_fields(self, data: Mapping[str, Any], spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return fields for a training on few and small samples, from new weights if it starts from a file."""
        del folder
        start = {} if data.get("init_from") in entries_of(spec, "stages") else {"init_from": None}
        return {**start, **small_samples(data), "precision": "auto", "accumulate": 1, "evaluations_per_run": 1, "workers": 1}

    # -- as a kind of stage --------------------------------------------------------------------------------------------

    def reads(self, section: T, datasets: Mapping[str, DatasetSection]) -> Iterable[Read]:
        """Yield its data, and the weights that it starts from."""
        del datasets
        yield from self.data_reads(section)
        yield PretrainedRead() if section.init_from is None else CheckpointRead("init_from", section.init_from)

    def inherited(self, section: T, experiment: ExperimentSection, stages: Mapping[str, StageSection]) -> T:
        """Fill in the experiment's behaviour, and the metric that decides a sweep."""
        del stages
        changes: dict[str, Any] = {}
        if "behaviour" not in section.model_fields_set:
            changes["behaviour"] = experiment.behaviour
        if section.sweep is not None:
            known = {metric.name: metric for metric in self.measured(section)}
            chosen = known.get(section.sweep.metric or "", self.measured(section)[0])
            name = section.sweep.metric or chosen.name
            changes["sweep"] = section.sweep.model_copy(update={"metric": name, "mode": chosen.mode})
        return section.model_copy(update=changes)

    def unused(self, section: T) -> Collection[str]:
        """Return the constants of objectives that it does not train. Other fields may be those of a kind of the user's own."""
        return fields_of([ObjectiveSettings]) - fields_of(self.settings_read(section))

    def check(self, name: str, section: T, datasets: Mapping[str, DatasetSection], report: Report) -> None:
        """Report ways to save memory that cannot be used or combined, batches that are too small, and wrong sweeps."""
        where = ("stages", name)
        objectives = self.objectives(section)
        if unknown := sorted(objective for objective in objectives if objective not in OBJECTIVES):
            report(
                f"{self.learns(section)} trains {unknown[0]!r}, no objective{did_you_mean(unknown[0], OBJECTIVES)}",
                *where,
            )
            return
        if not objectives:
            report(f"{self.learns(section)} has no objective, so there is nothing to train", *where)
            return
        for objective in sorted(objectives):
            settings = OBJECTIVES[objective].settings
            if not isinstance(section, settings):
                report(
                    f"{self.learns(section)} trains {objective}, but the stage lacks its settings "
                    f"({', '.join(settings.model_fields)}); derive the settings of the task from {settings.__name__}",
                    *where,
                )
        indivisible = sorted(objective for objective in objectives if not OBJECTIVES[objective].divisible)
        if section.accumulate > 1 and indivisible:
            report(
                f"{', '.join(indivisible)} would learn something else from parts of a batch than from the full one; to save "
                "memory set gradient_checkpointing: true, more workers or a smaller batch_size",
                *where, "accumulate",
            )  # fmt: skip
        if section.sharding == "fsdp" and section.compile:
            report("fsdp cannot be combined with compile: true; leave out one of them", *where, "sharding")
        generating = [objective for objective in sorted(objectives) if OBJECTIVES[objective].generates]
        if section.sharding == "fsdp" and generating:
            report(f"fsdp cannot be combined with {generating[0]}, which generates captions in training", *where, "sharding")
        for batch in self.batches(section):
            problem = batch_problem(batch.samples, batch.objectives, workers=1)
            if problem is not None:
                report(problem, *where, *batch.field)
        if section.sweep is not None:
            check_sweep_section(self, name, section, section.sweep, report)
            check_trials(self, name, section, section.sweep, datasets, report)

    def check_with_others(self, name: str, section: T, experiment: Experiment, report: Report) -> None:
        """Report a model to be registered that MLflow would not get."""
        tracking = experiment.section.tracking
        if section.register_as is not None and not tracking.has_checkpoints:
            report(
                f"a registered model has to be in MLflow, but tracking.checkpoints: {tracking.checkpoints} keeps it out; write "
                "upload",
                "stages", name, "register_as",
            )  # fmt: skip

    def notes(self, name: str, section: T, experiment: Experiment) -> Iterator[str]:
        """Warn of clips of which only one frame is used because the spec does not say how many."""
        known = experiment.section.datasets
        clips = [one for one in self.with_default_frames(section) if one in known and known[one].media == "video"]
        if clips:
            yield f"{name} trains on one frame of each clip of {clips[0]}, because train_frames is left out"

    def text_lengths(self, section: T) -> Iterator[TextLength]:
        """Yield the longest captions and questions."""
        yield TextLength("max_text_tokens", section.max_text_tokens, "a text")

    def workers(self, section: T) -> int | None:
        """Return the number in its section."""
        return section.workers

    def with_batches_of_trials(self, section: T) -> Iterable[T]:
        """Yield sections of trials without their other fields; none where batches are drawn from a range."""
        swept = section.sweep.fields if section.sweep is not None else {}
        lists = {name: values for name, values in swept.items() if name in BATCH_FIELDS}
        if not any(isinstance(values, Draw) for values in lists.values()):
            alone = section.model_dump(exclude={"sweep"})
            for values in itertools.product(*lists.values()):
                yield type(section).model_validate({**alone, **dict(zip(lists, values, strict=True))}) if lists else section

    def swept(self, section: T) -> Collection[str]:
        """Return the fields of its sweep."""
        return section.sweep.fields if section.sweep is not None else ()

    def how_it_resumes(self, section: T, unfinished: Path) -> str:
        """Say at which step training resumes, or how many trials of a sweep are done."""
        if section.sweep is not None:
            book = TrialBook.read(unfinished / TRIALS_FOLDER)
            begun = {trial.name: _last_step(unfinished, f"*-{glob.escape(trial.name)}") for trial in book.waiting}
            which = "".join(f", {name} resumes at step {step}" for name, step in begun.items() if step is not None)
            return f"resumes; {len(book.done)} of {section.sweep.count} trials done{which}"
        if (unfinished / STORAGE_NOTE).is_file():
            return "resumes from its last checkpoint"
        step = _last_step(unfinished, "*")
        return f"resumes at step {step}" if step is not None else "starts over, because it had saved no checkpoint yet"

    def reuses(self, step: Any, basis: Any, storage: Any) -> str:
        """Say how many trials of a grid earlier sweeps have run. Others are drawn, and known only when they are."""
        sweep = step.section.sweep
        if sweep is None or sweep.search != "grid":
            return ""
        count = count_finished(step, basis, storage, list(planned(sweep, step.seed)))
        trials = "trials" if sweep.count > 1 else "trial"
        return f"{count} of {sweep.count} {trials} exist{'s' if count == 1 else ''}" if count else ""

    def registers_as(self, section: T) -> str | None:
        """Return the name in its section."""
        return section.register_as


def _last_step(unfinished: Path, run: str) -> int | None:
    """Return the step of the last checkpoint that is complete in the folders of runs; None if there is none."""
    saved = [path.parent.name for path in unfinished.glob(f"{RAY_FOLDER}/{run}/checkpoint_*/{CHECKSUMS}")]
    return max((int(found[0]) for name in saved if (found := re.findall(r"^checkpoint_(\d+)", name))), default=None)
