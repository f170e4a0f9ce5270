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

FEWEST_ANSWERS = 4  # of a question, for the soft accuracy: it leaves one person out and counts to three
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
    answers. fewest_answers: answers that each question needs. fewest: samples that it needs in all, a batch. covers: the
    captions file whose clips all need references.
    """

    path: Path
    kind: Kind
    field: str
    stage: str
    is_evaluated: bool
    only_names: bool
    with_answers: bool
    fewest_answers: int = 1
    fewest: int = 1
    covers: Path | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for two files that need not both be checked."""
        return (self.path, self.kind, self.is_evaluated, self.only_names, self.with_answers, self.fewest_answers, self.fewest)

    def check(self) -> None:
        """Read the file.

        Raises:
            UserError: it is not what the stage wants.
        """
        if self.only_names:
            load_video_ids(self.path)
        elif self.kind == "references":
            self._check_references()
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
        self._check_size(sum(len(entry.captions) for entry in entries))

    def _check_size(self, samples: int) -> None:
        if samples < self.fewest:
            raise UserError(
                f"{self.path} has {samples} samples, fewer than a batch of stage {self.stage} ({self.fewest}); lower batch_size"
            )

    def _check_references(self) -> None:
        references = load_references(self.path)
        if self.covers is not None and self.covers.is_file():
            lacking = [video_id for video_id in load_video_ids(self.covers) if video_id not in references]
            if lacking:
                raise UserError(
                    f"{self.path} has no reference caption for {len(lacking)} clips of {self.covers}, such as {lacking[0]!r}"
                )

    def _check_questions(self) -> None:
        try:
            questions = load_questions(self.path, require_answers=self.with_answers)
        except DataError as error:
            if _can_be_read_as_captions(self.path):
                raise self._wrong_kind("captions", "questions") from error
            raise
        if not self.with_answers:
            reject_duplicates(questions, self.path)
            nameless = next((question for question in questions if question.question_id is None), None)
            if nameless is not None:
                raise UserError(
                    f'{self.path}, line {nameless.line}: field "question_id" is missing; the submission of stage {self.stage} '
                    "needs one for every question"
                )
        for question in questions if self.with_answers and self.fewest_answers > 1 else ():
            if len(question.answers) < self.fewest_answers:
                raise UserError(
                    f"{self.path}, line {question.line}: {len(question.answers)} answers, but the soft accuracy of stage "
                    f"{self.stage} needs at least {self.fewest_answers} a question"
                )
        self._check_size(len(questions))

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


def _batch_of(section: StageSection, dataset: str, split: str) -> int:
    """The largest batch that a stage draws from a split."""
    if isinstance(section, PretrainSection):
        return max((c.batch_size for c in section.corpora if (c.dataset, c.split) == (dataset, split)), default=1)
    if isinstance(section, FinetuneSection) and split == section.train_split:
        return section.batch_size
    return 1


def annotation_files(stage: str, section: StageSection, experiment: Experiment) -> Iterator[AnnotationFile]:
    """The user's own annotation files that a stage reads; those that a prepare stage makes are left out."""
    for name in datasets_of(section):
        dataset = experiment.section.datasets[name]
        if dataset.made_by is not None:
            continue
        for split, kind, is_evaluated in splits_of(section, name, dataset):
            file = getattr(dataset.splits[split], kind)
            if file is not None:
                captions = dataset.splits[split].captions
                yield AnnotationFile(
                    path=Path(file).expanduser(),
                    kind=kind,
                    field=f"datasets.{name}.splits.{split}",
                    stage=stage,
                    is_evaluated=is_evaluated,
                    only_names=isinstance(section, ExtractSection),
                    with_answers=not (is_evaluated and isinstance(section, EvaluateSection) and section.submission),
                    fewest_answers=FEWEST_ANSWERS if is_evaluated and getattr(section, "soft_accuracy", False) else 1,
                    fewest=1 if is_evaluated else _batch_of(section, name, split),
                    covers=Path(captions).expanduser() if kind == "references" and captions is not None else None,
                )
