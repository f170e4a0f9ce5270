"""Checks whether annotation files contain what the stages of a plan need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cosa.data.annotation_use import AnnotationUse
from cosa.data.annotations import load_captions, load_questions, load_references, load_video_ids, reject_duplicates
from cosa.errors import DataError, UserError
from workflows.spec.experiment import Experiment
from workflows.spec.reads import AnnotationsRead
from workflows.spec.sections import StageSection
from workflows.spec.stage_kinds import kind_of


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file and what a stage needs from it.

    field: where the spec names it. covers: a captions file whose clips must all have references in this one.
    """

    path: Path
    use: AnnotationUse
    field: str
    stage: str
    covers: Path | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """Return a key that is equal for two files of which only one has to be checked."""
        return (self.path, replace(self.use, split=""))

    def check(self) -> None:
        """Read the file.

        Raises:
            UserError: it does not contain what the stage needs.
        """
        if self.use.only_ids:
            load_video_ids(self.path)
        elif self.use.kind == "references":
            self._check_references()
        elif self.use.kind == "questions":
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
        if self.use.evaluated:
            reject_duplicates(entries, self.path)
        self._check_size(sum(len(entry.captions) for entry in entries))

    def _check_size(self, samples: int) -> None:
        if samples < self.use.fewest_samples:
            raise UserError(
                f"{self.path} has {samples} samples, fewer than a batch of stage {self.stage} ({self.use.fewest_samples}); "
                "lower batch_size"
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
            questions = load_questions(self.path, require_answers=self.use.with_answers)
        except DataError as error:
            if _can_be_read_as_captions(self.path):
                raise self._wrong_kind("captions", "questions") from error
            raise
        if not self.use.with_answers:
            reject_duplicates(questions, self.path)
            nameless = next((question for question in questions if question.question_id is None), None)
            if nameless is not None:
                raise UserError(
                    f'{self.path}, line {nameless.line}: field "question_id" is missing; the submission of stage {self.stage} '
                    "needs one for every question"
                )
        for question in questions if self.use.with_answers and self.use.fewest_answers > 1 else ():
            if len(question.answers) < self.use.fewest_answers:
                raise UserError(
                    f"{self.path}, line {question.line}: {len(question.answers)} answers, but the soft accuracy of stage "
                    f"{self.stage} needs at least {self.use.fewest_answers} per question"
                )
        self._check_size(len(questions))

    def _wrong_kind(self, found: str, wanted: str) -> UserError:
        return UserError(f"{self.path} holds {found}, but stage {self.stage} needs {wanted}; set {self.field}.{wanted}")


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
    """Yield the user's own annotation files that a stage reads; those that a prepare stage makes are left out."""
    datasets = experiment.section.datasets
    for read in kind_of(section).reads(section, datasets):
        if not isinstance(read, AnnotationsRead) or datasets[read.dataset].made_by is not None:
            continue
        file = read.file(datasets[read.dataset])
        if file is not None:
            captions = datasets[read.dataset].splits[read.use.split].captions
            yield AnnotationFile(
                path=Path(file).expanduser(),
                use=read.use,
                field=f"datasets.{read.dataset}.splits.{read.use.split}",
                stage=stage,
                covers=Path(captions).expanduser() if read.use.kind == "references" and captions is not None else None,
            )
