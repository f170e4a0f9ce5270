"""Checks whether annotation files contain what the stages of a plan need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import xxhash

from cosa.data.annotation_use import AnnotationUse
from cosa.data.annotations import QuestionEntry, captions_in, each_question_once, load_references, load_video_ids, questions_in
from cosa.errors import DataError, UserError
from workflows.planning.annotation_digests import code_of_reading
from workflows.planning.digests import FileDigests
from workflows.spec.experiment import Experiment
from workflows.spec.reads import AnnotationsRead
from workflows.spec.sections import StageSection
from workflows.spec.stage_kinds import kind_of


class WrongKindError(UserError):
    """A file holds captions where questions belong, or the reverse."""


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file and what a stage needs from it.

    field: where the spec names it. covers: a captions file whose clips must all have references in this one. is_default_batch:
    whether the size of a batch is not written in the spec.
    """

    path: Path
    use: AnnotationUse
    field: str
    stage: str
    covers: Path | None = None
    is_default_batch: bool = False

    def check_once(self, digests: FileDigests) -> None:
        """Read the file, unless its content was read before: parsing millions of captions takes many seconds.

        Raises:
            UserError: it does not contain what the stage needs.
        """
        others = [self.covers] if self.covers is not None and self.covers.is_file() else []
        of = [_code(), *(digests.of_file(path) for path in (self.path, *others))]
        check = f"{self.path.absolute()} for {replace(self.use, split='')}"
        if digests.remembered(check, of) is None:
            self.check()
            digests.remember(check, of, "passed")

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
        samples = 0  # Entries are counted, not kept: there may be millions.
        try:
            for entry in captions_in(self.path, require_captions=self.use.with_answers):
                samples += len(entry.captions)
        except DataError as error:
            if samples == 0 and _can_be_read(questions_in(self.path, require_answers=False)):
                raise self._wrong_kind("questions", "captions") from error
            raise
        self._check_size(samples)

    def _check_size(self, samples: int) -> None:
        if samples < self.use.fewest_samples:
            size = f"{self.use.fewest_samples}, the default" if self.is_default_batch else f"{self.use.fewest_samples}"
            advice = f"set stages.{self.stage}.batch_size" if self.is_default_batch else "lower batch_size"
            raise UserError(f"{self.path} has {samples} samples, fewer than a batch of stage {self.stage} ({size}); {advice}")

    def _check_references(self) -> None:
        references = load_references(self.path)
        if self.covers is not None and self.covers.is_file():
            lacking = [video_id for video_id in load_video_ids(self.covers) if video_id not in references]
            if lacking:
                raise UserError(
                    f"{self.path} has no reference caption for {len(lacking)} clips of {self.covers}, such as {lacking[0]!r}"
                )

    def _check_questions(self) -> None:
        samples = 0
        questions = questions_in(self.path, require_answers=self.use.with_answers)
        try:
            for question in questions if self.use.with_answers else each_question_once(questions, self.path):
                self._check_question(question)
                samples += 1
        except DataError as error:
            if samples == 0 and _can_be_read(captions_in(self.path)):
                raise self._wrong_kind("captions", "questions") from error
            raise
        self._check_size(samples)

    def _check_question(self, question: QuestionEntry) -> None:
        if not self.use.with_answers and question.question_id is None:
            raise UserError(
                f'{self.path}, line {question.line}: field "question_id" is missing; the submission of stage {self.stage} '
                "needs one for every question"
            )
        if self.use.with_answers and self.use.fewest_answers > 1 and len(question.answers) < self.use.fewest_answers:
            raise UserError(
                f"{self.path}, line {question.line}: {len(question.answers)} answers, but the soft accuracy of stage "
                f"{self.stage} needs at least {self.use.fewest_answers} per question"
            )

    def _wrong_kind(self, found: str, wanted: str) -> WrongKindError:
        return WrongKindError(f"{self.path} holds {found}, but stage {self.stage} needs {wanted}; set {self.field}.{wanted}")


@cache
def _code() -> str:
    """Return a digest of the code that checks: what an older one let pass may have a mistake."""
    return xxhash.xxh3_64_hexdigest(Path(__file__).read_bytes()) + code_of_reading()


def _can_be_read(entries: Iterator[object]) -> bool:
    try:
        for _ in entries:
            pass
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
                is_default_batch="batch_size" in type(section).model_fields and "batch_size" not in section.model_fields_set,
            )
