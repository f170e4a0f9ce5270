"""How the stages of an experiment hang together: names are looked up, inputs are known, cycles are refused."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from workflows.spec.combinations import (
    annotations_of,
    check_registered,
    check_stage,
    check_submissions,
    is_path,
    validation_split,
    warnings_of,
)
from workflows.spec.errors import Problem, did_you_mean
from workflows.spec.lengths import check_lengths
from workflows.spec.metrics import lower_is_better, main_metric
from workflows.spec.scaling import check_elastic
from workflows.spec.sections import (
    BehaviourMixin,
    DatasetSection,
    EvaluateSection,
    ExperimentSection,
    ExtractSection,
    FinetuneSection,
    PrepareSection,
    PretrainSection,
    StageSection,
    TrainSection,
)
from workflows.spec.source import Node


@dataclass(frozen=True)
class Experiment:
    """A checked spec. `stages` are in an order in which they can run, with inherited fields filled in.

    inputs: per stage, the stages whose results it reads. warnings: what is allowed but should be known. source: the spec as
    it was read, with places. groups: stages that were made of one with a matrix, by its name.
    """

    section: ExperimentSection
    stages: dict[str, StageSection]
    inputs: dict[str, tuple[str, ...]]
    file: Path
    warnings: tuple[str, ...] = ()
    source: Node | None = field(default=None, compare=False, repr=False)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.section.name

    def stages_named(self, names: Iterable[str]) -> tuple[str, ...]:
        """Names of stages, with that of a matrix standing for all that it made."""
        return tuple(stage for name in names for stage in self.groups.get(name, (name,)))

    def extract_stage(self, dataset: str) -> str | None:
        """The stage that extracts a dataset's frames."""
        return next((n for n, s in self.stages.items() if isinstance(s, ExtractSection) and s.dataset == dataset), None)


@dataclass(frozen=True)
class Names:
    """All names that the spec gives.

    Also of stages and datasets that are invalid themselves: a reference to one of those is not reported too.
    """

    stages: set[str]
    datasets: set[str]


def connect(
    section: ExperimentSection,
    stages: dict[str, StageSection],
    names: Names,
    root: Node,
    *,
    file: Path,
    problems: list[Problem],
) -> Experiment:
    """Look up all names and sort the stages.

    Problems are added to the list; the result is only meaningful without any.
    """
    checker = _Checker(section, stages, names, root, problems)
    inputs = {name: checker.inputs_of(name) for name in stages}
    try:
        order = list(graphlib.TopologicalSorter(inputs).static_order())
    except graphlib.CycleError as error:
        cycle = list(reversed(error.args[1]))
        problems.append(Problem(f"stages form a cycle: {' -> '.join(cycle)}", root.find(("stages", cycle[0]), of_key=True)))
        order = list(stages)
    resolved = {name: stages[name] for name in order if name in stages}
    for name in resolved:
        resolved[name] = checker.with_inherited(name, resolved)
    check_submissions(resolved, section.datasets, checker.report)
    check_registered(resolved, section.tracking, checker.report)
    check_lengths(resolved, section.model.text.max_position_embeddings, checker.report)
    check_elastic(section.cluster, resolved, checker.report)
    warnings = dict.fromkeys(warnings_of(resolved, section.datasets, root))
    return Experiment(section, resolved, inputs, file, tuple(warnings), root)


class _Checker:
    def __init__(
        self,
        section: ExperimentSection,
        stages: dict[str, StageSection],
        names: Names,
        root: Node,
        problems: list[Problem],
    ):
        self.section, self.stages, self.names = section, stages, names
        self.root, self.problems = root, problems
        for name, dataset in section.datasets.items():
            if dataset.made_by is not None:
                self._expect_stage(dataset.made_by, ("datasets", name, "made_by"), PrepareSection, "a prepare stage")

    def report(self, message: str, *path: str | int) -> None:
        path = self.root.origin(path)  # a wrong value that others refer to is one mistake
        node = self.root.at(path)
        place = self.root.find(path, of_key=node is not None and node.children is not None)
        self.problems.append(Problem(f"{'.'.join(map(str, path))}: {message}", place))

    def _expect_stage(self, name: str, path: tuple[str | int, ...], kind: type[StageSection], what: str) -> bool:
        if name not in self.names.stages:
            self.report(f"no stage {name!r}{did_you_mean(name, self.names.stages)}", *path)
            return False
        if name in self.stages and not isinstance(self.stages[name], kind):
            self.report(f"stage {name!r} is of kind {self.stages[name].kind}; expected {what}", *path)
            return False
        return name in self.stages

    def inputs_of(self, name: str) -> tuple[str, ...]:
        """Names of the stages that a stage reads."""
        stage, where = self.stages[name], ("stages", name)
        check_stage(name, stage, self.section.datasets, self.report)
        inputs: list[str] = []
        if isinstance(stage, PrepareSection):
            self._check_converter(stage, where)
        elif isinstance(stage, ExtractSection):
            dataset = self._dataset(stage.dataset, (*where, "dataset"))
            if dataset is not None and dataset.media != "video":
                self.report(f"dataset {stage.dataset!r} holds images; only clips have frames to extract", *where, "dataset")
            if dataset is not None and dataset.made_by:
                inputs.append(dataset.made_by)
        elif isinstance(stage, PretrainSection):
            for index, corpus in enumerate(stage.corpora):
                inputs += self._media_inputs(corpus.dataset, corpus.split, "captions", (*where, "corpora", index))
        elif isinstance(stage, FinetuneSection):
            inputs += self._finetune_inputs(stage, where)
        elif isinstance(stage, EvaluateSection):
            for task in stage.tasks:
                inputs += self._media_inputs(stage.dataset, stage.split, annotations_of(task), where)
            if not is_path(stage.checkpoint) and self._expect_stage(
                stage.checkpoint, (*where, "checkpoint"), TrainSection, "a stage that trains (pretrain or finetune)"
            ):
                inputs.append(stage.checkpoint)
        if (
            isinstance(stage, TrainSection)
            and stage.init_from is not None
            and not is_path(stage.init_from)
            and self._expect_stage(
                stage.init_from, (*where, "init_from"), TrainSection, "a stage that trains (pretrain or finetune)"
            )
        ):
            inputs.append(stage.init_from)
        return tuple(dict.fromkeys(inputs))

    def _check_converter(self, stage: PrepareSection, where: tuple[str, ...]) -> None:
        from pydantic import ValidationError

        from cosa.datasets.converters import CONVERTERS

        converter = CONVERTERS.get(stage.converter)
        if converter is None:
            self.report(f"no converter {stage.converter!r}{did_you_mean(stage.converter, CONVERTERS)}", *where, "converter")
            return
        try:
            converter.options.model_validate(stage.options)
        except ValidationError as error:
            for item in error.errors():
                option = ".".join(map(str, item["loc"]))
                message = item["msg"]
                if item["type"] == "extra_forbidden":
                    message = f"unknown option{did_you_mean(option, converter.options.model_fields)}"
                self.report(message, *where, "options", *item["loc"])

    def _finetune_inputs(self, stage: FinetuneSection, where: tuple[str, ...]) -> list[str]:
        wanted = annotations_of(stage.task)
        inputs = self._media_inputs(stage.dataset, stage.train_split, wanted, where, "train_split")
        if stage.validation_split is not None:
            inputs += self._media_inputs(stage.dataset, stage.validation_split, wanted, where, "validation_split")
        return inputs

    def _dataset(self, name: str, path: tuple[str | int, ...]) -> DatasetSection | None:
        dataset = self.section.datasets.get(name)
        if dataset is None and name not in self.names.datasets:
            self.report(f"no dataset {name!r}{did_you_mean(name, self.section.datasets)}", *path)
        return dataset

    def _media_inputs(
        self, name: str, split: str, annotations: str, where: tuple[str | int, ...], split_field: str = "split"
    ) -> list[str]:
        dataset = self._dataset(name, (*where, "dataset"))
        if dataset is None:
            return []
        if split not in dataset.splits:
            self.report(f"dataset {name!r} has no split {split!r}{did_you_mean(split, dataset.splits)}", *where, split_field)
        elif getattr(dataset.splits[split], annotations) is None:
            self.report(f"split {split!r} of dataset {name!r} has no {annotations}: file", *where, split_field)
        inputs = [dataset.made_by] if dataset.made_by in self.names.stages and dataset.made_by is not None else []
        if dataset.media == "video" and dataset.frames is None:
            extracts = [n for n, s in self.stages.items() if isinstance(s, ExtractSection) and s.dataset == name]
            invalid = self.names.stages - set(self.stages)
            if len(extracts) > 1:
                self.report(f"its clips are extracted by {' and '.join(extracts)}; keep one", "datasets", name)
            elif not extracts and not invalid:
                self.report(
                    f"nothing makes frames of its clips; add a stage {{kind: extract, dataset: {name}}}, or give "
                    f"datasets.{name}.frames",
                    *("datasets", name),
                )
            inputs += extracts
        return inputs

    def with_inherited(self, name: str, stages: dict[str, StageSection]) -> StageSection:
        """The stage with fields that it takes over from others written out."""
        stage = stages[name]
        if isinstance(stage, BehaviourMixin) and "behaviour" not in stage.model_fields_set:
            stage = stage.model_copy(update={"behaviour": self.section.behaviour})
        if isinstance(stage, FinetuneSection):
            split = validation_split(stage, self.section.datasets)
            stage = stage.model_copy(update={"validation_split": split})
        if isinstance(stage, TrainSection) and stage.sweep is not None:
            metric = stage.sweep.metric or main_metric(stage)
            mode = "min" if lower_is_better(metric) else "max"
            stage = stage.model_copy(update={"sweep": stage.sweep.model_copy(update={"metric": metric, "mode": mode})})
        if isinstance(stage, EvaluateSection) and isinstance(trained := stages.get(stage.checkpoint), TrainSection):
            inherited = {
                field: getattr(trained, field)
                for field in EvaluateSection.INHERITED
                if field not in stage.model_fields_set and field in type(trained).model_fields
            }
            return stage.model_copy(update=inherited)
        return stage
