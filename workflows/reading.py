"""Which datasets and annotation files a stage reads, and whether those files are fit for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosa.data.annotations import load_captions, load_questions, load_references, load_video_ids, reject_duplicates
from cosa.errors import DataError, UserError
from workflows.spec.combinations import annotations_of
from workflows.spec.graph import Experiment
from workflows.spec.sections import (
    DatasetSection,
    EvaluateSection,
    ExtractSection,
    FinetuneSection,
    PretrainSection,
    StageSection,
)

Kind = Literal["captions", "questions", "references"]


def datasets_of(section: StageSection) -> list[str]:
    """Names of the datasets that a stage reads."""
    if isinstance(section, PretrainSection):
        return list(dict.fromkeys(corpus.dataset for corpus in section.corpora))
    if isinstance(section, ExtractSection | FinetuneSection | EvaluateSection):
        return [section.dataset]
    return []


def splits_of(section: StageSection, name: str, dataset: DatasetSection) -> list[tuple[str, Kind, bool]]:
    """(split, kind, is evaluated) of the annotation files of a dataset that a stage reads."""
    reads: list[tuple[str, Kind, bool]] = []
    if isinstance(section, ExtractSection):
        kinds: tuple[Kind, ...] = ("captions", "questions")
        for split, files in dataset.splits.items():
            reads += [(split, kind, False) for kind in kinds if getattr(files, kind) is not None]
    elif isinstance(section, PretrainSection):
        reads += [(c.split, "captions", False) for c in section.corpora if c.dataset == name]
    elif isinstance(section, FinetuneSection):
        reads.append((section.train_split, annotations_of(section.task), False))
        if section.validation_split is not None:
            reads += _evaluated(section.validation_split, section.task)
    elif isinstance(section, EvaluateSection):
        for task in section.tasks:
            reads += _evaluated(section.split, task)
            has_baseline = task == "captioning" or (task == "question_answering" and not section.submission)
            if has_baseline and section.baseline_split in dataset.splits:
                reads.append((section.baseline_split, annotations_of(task), False))
    return list(dict.fromkeys(reads))


def _evaluated(split: str, task: str) -> list[tuple[str, Kind, bool]]:
    reads: list[tuple[str, Kind, bool]] = [(split, annotations_of(task), True)]
    if task == "captioning":
        reads.append((split, "references", True))
    return reads


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file and what a stage wants from it.

    field: where the spec names it. only_names: the stage only wants the clips' names. with_answers: questions need
    answers.
    """

    path: Path
    kind: Kind
    field: str
    stage: str
    is_evaluated: bool
    only_names: bool
    with_answers: bool

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for two files that need not both be checked."""
        return (self.path, self.kind, self.is_evaluated, self.only_names, self.with_answers)

    def check(self) -> None:
        """Read the file.

        Raises:
            UserError: it is not what the stage wants.
        """
        if self.only_names:
            load_video_ids(self.path)
        elif self.kind == "references":
            load_references(self.path)
        elif self.kind == "questions":
            self._check_questions()
        else:
            self._check_captions()

    def _check_captions(self) -> None:
        try:
            entries = load_captions(self.path)
        except DataError as error:
            if _can_be_read_as_questions(self.path):
                raise self._wrong_kind("questions", "captions") from error
            raise
        if self.is_evaluated:
            reject_duplicates(entries, self.path)

    def _check_questions(self) -> None:
        try:
            questions = load_questions(self.path, require_answers=self.with_answers)
        except DataError as error:
            if _can_be_read_as_captions(self.path):
                raise self._wrong_kind("captions", "questions") from error
            raise
        if not self.with_answers:
            reject_duplicates(questions, self.path)

    def _wrong_kind(self, found: str, wanted: str) -> UserError:
        return UserError(f"{self.path} holds {found}, but stage {self.stage} needs {wanted}; give {self.field}.{wanted}")


def _can_be_read_as_captions(path: Path) -> bool:
    try:
        load_captions(path)
    except DataError:
        return False
    return True


def _can_be_read_as_questions(path: Path) -> bool:
    try:
        load_questions(path, require_answers=False)
    except DataError:
        return False
    return True


def annotation_files(stage: str, section: StageSection, experiment: Experiment) -> Iterator[AnnotationFile]:
    """The user's own annotation files that a stage reads; those that a prepare stage makes are left out."""
    for name in datasets_of(section):
        dataset = experiment.section.datasets[name]
        if dataset.made_by is not None:
            continue
        for split, kind, is_evaluated in splits_of(section, name, dataset):
            file = getattr(dataset.splits[split], kind)
            if file is not None:
                yield AnnotationFile(
                    path=Path(file).expanduser(),
                    kind=kind,
                    field=f"datasets.{name}.splits.{split}",
                    stage=stage,
                    is_evaluated=is_evaluated,
                    only_names=isinstance(section, ExtractSection),
                    with_answers=not (is_evaluated and isinstance(section, EvaluateSection) and section.submission),
                )
