"""Fields and stages that are fine alone and make no sense together: errors; or that should be known: warnings."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from cosa.objectives.all_objectives import OBJECTIVES
from workflows.spec.errors import did_you_mean
from workflows.spec.metrics import REPORTED, VIDEO_TO_TEXT, lower_is_better, main_metric, validation_metrics
from workflows.spec.sections import (
    TASK_OBJECTIVES,
    DatasetSection,
    EvaluateSection,
    ExtractSection,
    FinetuneSection,
    PretrainSection,
    StageSection,
    SweepSection,
    TrackingSection,
    TrainSection,
)
from workflows.spec.source import Node
from workflows.spec.sweep import Draw

MOST_TRIALS_CHECKED = 1000  # before a plan is shown, which must not take a second


class Report(Protocol):
    """Takes an error and the path of the field that it is about."""

    def __call__(self, message: str, *path: str | int) -> None:
        """Report an error."""
        ...


def annotations_of(task: str) -> Literal["captions", "questions"]:
    """The kind of annotation file that a task reads."""
    return "questions" if task == "question_answering" else "captions"


def is_path(reference: str) -> bool:
    """Whether `init_from` or `checkpoint` names a folder instead of a stage."""
    return "/" in reference or reference.startswith(".")


def validation_split(stage: FinetuneSection, datasets: Mapping[str, DatasetSection]) -> str | None:
    """The split that a finetune stage chooses its checkpoint by."""
    if stage.validation_split is not None or stage.dataset not in datasets:
        return stage.validation_split
    wanted = annotations_of(stage.task)
    splits = datasets[stage.dataset].splits
    return next((s for s in ("validation", "val", "test") if s in splits and getattr(splits[s], wanted) is not None), None)


# -- one stage --------------------------------------------------------------------------------------------------------


def check_stage(name: str, stage: StageSection, datasets: Mapping[str, DatasetSection], report: Report) -> None:
    """Report fields of one stage that do not go together."""
    if isinstance(stage, PretrainSection | FinetuneSection):
        _check_memory_savers(name, stage, report)
        if stage.sweep is not None:
            _check_sweep(name, stage, stage.sweep, report)
            _check_trials(name, stage, stage.sweep, datasets, report)
    if isinstance(stage, PretrainSection):
        for index, corpus in enumerate(stage.corpora):
            if corpus.batch_size < 2 and {"itm", "citm"} & set(corpus.objectives):
                report(
                    f"{corpus.batch_size} is too small: matching needs another sample as a negative",
                    "stages", name, "corpora", index, "batch_size",
                )  # fmt: skip
    elif isinstance(stage, FinetuneSection):
        _check_finetune(name, stage, datasets, report)
    elif isinstance(stage, EvaluateSection):
        _check_evaluate(name, stage, datasets, report)


def _check_memory_savers(name: str, stage: PretrainSection | FinetuneSection, report: Report) -> None:
    where = ("stages", name)
    objectives: set[str]
    if isinstance(stage, PretrainSection):
        objectives = {objective for corpus in stage.corpora for objective in corpus.objectives}
    else:
        objectives = {"self_critical"} if stage.self_critical else set(TASK_OBJECTIVES[stage.task])
    divisible = {name for name, objective in OBJECTIVES.items() if objective.divisible}
    if stage.accumulate > 1 and (undivided := sorted(objectives - divisible)):
        report(
            f"{', '.join(undivided)} would learn something else from parts of a batch than from the whole; to save memory give "
            "gradient_checkpointing: true, more workers or a smaller batch_size",
            *where, "accumulate",
        )  # fmt: skip
    if stage.sharding == "fsdp" and stage.compile:
        report("fsdp does not go together with compile: true; leave out one of them", *where, "sharding")
    if stage.sharding == "fsdp" and "self_critical" in objectives:
        report("fsdp does not go together with self_critical, which generates captions in training", *where, "sharding")


def _check_finetune(name: str, stage: FinetuneSection, datasets: Mapping[str, DatasetSection], report: Report) -> None:
    where = ("stages", name)
    if stage.task == "retrieval" and stage.batch_size < 2:
        report(f"{stage.batch_size} is too small: matching needs another sample as a negative", *where, "batch_size")
    if stage.self_critical and stage.task != "captioning":
        report(f"only captioning can be trained self-critically; the task is {stage.task}", *where, "self_critical")
    if stage.soft_accuracy and stage.task != "question_answering":
        report(f"it belongs to question_answering; the task is {stage.task}", *where, "soft_accuracy")
    if stage.dataset in datasets and validation_split(stage, datasets) is None:
        lacks = (
            f"dataset {stage.dataset!r} has none of validation, val, test with {annotations_of(stage.task)}; "
            "give validation_split"
        )
        if stage.sweep is not None:
            report(f"a sweep needs a split to choose by, and {lacks}", *where, "sweep")
        if stage.zero_shot_first:
            report(f"there is no split to validate on: {lacks}", *where, "zero_shot_first")


def _check_sweep(name: str, stage: PretrainSection | FinetuneSection, sweep: SweepSection, report: Report) -> None:
    where = ("stages", name, "sweep")
    if sweep.scheduler == "asha" and 0 < stage.evaluations_per_run < 2:
        report(
            f"asha stops bad trials at validations before the last one; give stages.{name}.evaluations_per_run >= 2",
            *where, "scheduler",
        )  # fmt: skip
    swept = sweep.fields.get("evaluations_per_run")
    if swept is not None and sweep.scheduler == "asha":
        report("asha compares trials after equally many validations; leave it out of the sweep", *where, "evaluations_per_run")
    counts = (stage.evaluations_per_run,) if swept is None else swept.ends if isinstance(swept, Draw) else swept
    if min(counts) < 1:
        report(f"trials are compared by their validations; give stages.{name}.evaluations_per_run >= 1", *where)
    metric, known = sweep.metric or main_metric(stage), validation_metrics(stage)
    task = stage.task if isinstance(stage, FinetuneSection) else "pretraining"
    if metric in VIDEO_TO_TEXT and task == "retrieval" and metric not in known:
        report(f"{metric} is only computed with video_to_text: true", *where, "metric")
    elif metric not in known:
        report(f"validation of {task} gives no metric {metric!r}{did_you_mean(metric, known)}", *where, "metric")
    elif lower_is_better(metric) and sweep.mode == "max" and "mode" in sweep.model_fields_set:
        report(f"the best {metric} is the lowest one; write mode: min", *where, "mode")
    elif not lower_is_better(metric) and sweep.mode == "min":
        report(f"the best {metric} is the highest one; write mode: max", *where, "mode")


def _check_trials(
    name: str,
    stage: PretrainSection | FinetuneSection,
    sweep: SweepSection,
    datasets: Mapping[str, DatasetSection],
    report: Report,
) -> None:
    """Report values of a sweep that do not go together with the rest of the stage: better than after hours of other trials."""
    known: set[str] = set()  # what is reported of the stage itself, and of earlier trials
    base = stage.model_copy(update={"sweep": None})
    check_stage(name, base, datasets, lambda message, *_: known.add(message))
    choices = [values.examples if isinstance(values, Draw) else values for values in sweep.fields.values()]
    for combination in itertools.islice(itertools.product(*choices), MOST_TRIALS_CHECKED):
        values = dict(zip(sweep.fields, combination, strict=True))

        def say(message: str, *path: str | int, values: Mapping[str, Any] = values) -> None:
            if message not in known:
                known.add(message)
                given = ", ".join(f"{field}: {json.dumps(value)}" for field, value in values.items())
                report(f"a trial with {given}: {path[-1]}: {message}", "stages", name, "sweep")

        try:
            trial = type(stage).model_validate({**base.model_dump(), **values})
        except ValidationError as error:
            say(error.errors()[0]["msg"].removeprefix("Value error, "), "sweep")
        else:
            check_stage(name, trial, datasets, say)


def _check_evaluate(name: str, stage: EvaluateSection, datasets: Mapping[str, DatasetSection], report: Report) -> None:
    where = ("stages", name)
    dataset = datasets.get(stage.dataset)
    if dataset is not None and "baseline_split" in stage.model_fields_set and stage.baseline_split not in dataset.splits:
        message = f"dataset {stage.dataset!r} has no split {stage.baseline_split!r}"
        report(f"{message}{did_you_mean(stage.baseline_split, dataset.splits)}", *where, "baseline_split")
    if "question_answering" not in stage.tasks:
        for field in ("soft_accuracy", "submission"):
            if getattr(stage, field):
                report(f"it belongs to question_answering; the tasks are {', '.join(stage.tasks)}", *where, field)
    known = [metric for task in stage.tasks for metric in REPORTED[task]]
    for metric in stage.published:
        if metric not in known:
            report(f"evaluation gives no metric {metric!r}{did_you_mean(metric, known)}", *where, "published", metric)


# -- stages together --------------------------------------------------------------------------------------------------


def check_registered(stages: Mapping[str, StageSection], tracking: TrackingSection, report: Report) -> None:
    """Report models that should be registered without being in MLflow."""
    for name, stage in stages.items():
        if isinstance(stage, TrainSection) and stage.register_as is not None and tracking.checkpoints == "none":
            report(
                "a registered model has to be in MLflow, but tracking.checkpoints: none keeps it out; write best",
                "stages", name, "register_as",
            )  # fmt: skip


def check_submissions(stages: Mapping[str, StageSection], datasets: Mapping[str, DatasetSection], report: Report) -> None:
    """Report a split without answers that is also meant to choose a checkpoint."""
    for name, stage in stages.items():
        if not isinstance(stage, EvaluateSection) or not stage.submission or "question_answering" not in stage.tasks:
            continue
        for other, trained in stages.items():
            if isinstance(trained, FinetuneSection) and trained.dataset == stage.dataset:
                chosen_by = validation_split(trained, datasets)
                if chosen_by is not None and _same_split(datasets.get(stage.dataset), chosen_by, stage.split):
                    report(
                        f"split {stage.split!r} has no answers, but {other} chooses its checkpoint by it; "
                        f"give stages.{other}.validation_split, or leave out submission",
                        "stages", name, "submission",
                    )  # fmt: skip


def warnings_of(stages: Mapping[str, StageSection], datasets: Mapping[str, DatasetSection], root: Node) -> Iterator[str]:
    """What is allowed but should be known. `stages` have their inherited fields filled in."""
    for name, stage in stages.items():
        if isinstance(stage, ExtractSection) and stage.dataset in datasets and datasets[stage.dataset].frames is not None:
            yield (
                f"nothing reads the frames of stage {name}: datasets.{stage.dataset}.frames is given; leave out one of "
                f"them (--set stages.{name}= removes the stage)"
            )
        if isinstance(stage, EvaluateSection):
            yield from _selection_warnings(name, stage, stages, datasets)
            yield from _task_warnings(name, stage, stages)
    training = [name for name, stage in stages.items() if isinstance(stage, TrainSection)]
    starts = [getattr(stages[name], "init_from", None) for name in training]
    if root.at(("model",)) is not None and None not in starts:
        why = f"{', '.join(training)} start from checkpoints" if training else "no stage trains"
        yield f"the model section is not used: {why}, and a checkpoint brings its own"


def _selection_warnings(
    name: str, stage: EvaluateSection, stages: Mapping[str, StageSection], datasets: Mapping[str, DatasetSection]
) -> Iterator[str]:
    choosing = [
        trained_name
        for trained_name, trained in _ancestors(stage.checkpoint, stages)
        if isinstance(trained, FinetuneSection)
        and trained.dataset == stage.dataset
        and (chosen_by := validation_split(trained, datasets)) is not None
        and _same_split(datasets.get(stage.dataset), chosen_by, stage.split)
    ]
    trained_on = [
        trained_name
        for trained_name, trained in _ancestors(stage.checkpoint, stages)
        for dataset, split in _training_splits(trained)
        if dataset == stage.dataset and _same_split(datasets.get(dataset), split, stage.split)
    ]
    if trained_on:
        yield f"{name} reports on {stage.dataset}/{stage.split}, on which {' and '.join(dict.fromkeys(trained_on))} trained"
    if choosing:
        yield (
            f"{name} reports on {stage.dataset}/{stage.split}, by which {' and '.join(choosing)} chose the best checkpoint: "
            "its scores are optimistic (the published recipes do this too)"
        )


def _training_splits(stage: TrainSection) -> list[tuple[str, str]]:
    """(dataset, split) of all that a stage trains on."""
    if isinstance(stage, PretrainSection):
        return [(corpus.dataset, corpus.split) for corpus in stage.corpora]
    return [(stage.dataset, stage.train_split)] if isinstance(stage, FinetuneSection) else []


def _task_warnings(name: str, stage: EvaluateSection, stages: Mapping[str, StageSection]) -> Iterator[str]:
    trained = stages.get(stage.checkpoint)
    if not isinstance(trained, FinetuneSection):
        return
    learned = {s.task for _, s in _ancestors(stage.checkpoint, stages) if isinstance(s, FinetuneSection)}
    for task in stage.tasks:
        if task not in learned:
            yield (
                f"{name} evaluates {task} on {stage.checkpoint}, which was finetuned for {trained.task} and never for "
                f"{task}: expect low scores"
            )


def _ancestors(checkpoint: str, stages: Mapping[str, StageSection]) -> Iterator[tuple[str, TrainSection]]:
    """The stage that trained a checkpoint, the one it started from, and so on."""
    seen: set[str] = set()
    name: str | None = checkpoint
    while name is not None and name not in seen and isinstance(stage := stages.get(name), TrainSection):
        seen.add(name)
        yield name, stage
        name = stage.init_from


def _same_split(dataset: DatasetSection | None, one: str, other: str) -> bool:
    """Whether two splits are the same, by name or because they have the same files."""
    if one == other:
        return True
    return dataset is not None and one in dataset.splits and dataset.splits[one] == dataset.splits.get(other)
