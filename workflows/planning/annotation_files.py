"""Checks whether annotation files contain what the stages of a plan need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import xxhash

from cosa.data.annotation_columns import AnnotationSource
from cosa.data.annotation_formats import place_in
from cosa.data.annotation_use import AnnotationUse
from cosa.data.annotations import QuestionEntry, captions_in, each_question_once, questions_in
from cosa.data.split_reading import IN_FULL
from cosa.errors import DataError, UserError
from workflows.planning.annotation_digests import code_of_reading
from workflows.planning.digests import FileDigests
from workflows.spec.experiment import Experiment
from workflows.spec.reads import AnnotationsRead, source_of
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

    source: AnnotationSource
    use: AnnotationUse
    field: str
    stage: str
    covers: AnnotationSource | None = None
    is_default_batch: bool = False

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return self.source.path

    def check_once(self, digests: FileDigests) -> None:
        """Check the file, unless its content was checked before: parsing millions of captions takes many seconds.

        Raises:
            UserError: it does not contain what the stage needs.
        """
        others = [self.covers.path] if self.covers is not None and self.covers.path.is_file() else []
        of = [_code(), *(digests.of_file(path) for path in (self.path, *others))]
        check = f"{self.path.absolute()} for {replace(self.use, split='')}"
        check += "" if self.source.reading == IN_FULL else f" as {self.source.reading}"
        if digests.remembered(check, of) is None:
            self.check(digests)
            digests.remember(check, of, "passed")

    def check(self, digests: FileDigests) -> None:
        """Check the columns of the file. It is read entry by entry only to say what is wrong.

        Raises:
            UserError: it does not contain what the stage needs.
        """
        if self.use.only_ids:
            self._check_ids(digests)
        elif self.use.kind == "references":
            self._check_references(digests)
        elif self.use.kind == "questions":
            self._check_questions(digests)
        else:
            self._check_captions(digests)

    def _check_ids(self, digests: FileDigests) -> None:
        digests.naming_columns(self.source)  # Texts may be wrong: nobody reads them.

    def _check_captions(self, digests: FileDigests) -> None:
        names = self.source.reading.names
        try:
            columns = digests.columns(self.source)
            if self.use.with_answers:
                columns.require("text")
        except DataError as error:
            if not self._has_captions() and _can_be_read(questions_in(self.path, require_answers=False, names=names)):
                raise self._wrong_kind("questions", "captions") from error
            raise
        self._check_size(columns.count("text"))

    def _has_captions(self) -> bool:
        """Return whether the first entries have captions."""
        try:
            return next(captions_in(self.path, names=self.source.reading.names), None) is not None
        except DataError:
            return False

    def _check_size(self, samples: int) -> None:
        if samples < self.use.fewest_samples:
            size = f"{self.use.fewest_samples}, the default" if self.is_default_batch else f"{self.use.fewest_samples}"
            advice = f"set stages.{self.stage}.batch_size" if self.is_default_batch else "lower batch_size"
            part = f" ({self.source.reading.said})" if self.source.reading.is_part else ""
            raise UserError(
                f"{self.path} has {samples} samples{part}, fewer than a batch of stage {self.stage} ({size}); {advice}"
            )

    def _check_references(self, digests: FileDigests) -> None:
        references = digests.columns(self.source)
        if self.covers is not None and self.covers.path.is_file():
            there, clips = set(references.media_ids()), digests.naming_columns(self.covers).media_ids()
            lacking = [video_id for video_id in clips if video_id not in there]
            if lacking:
                raise UserError(
                    f"{self.path} has no reference caption for {len(lacking)} clips of {self.covers.path}, such as "
                    f"{lacking[0]!r}"
                )

    def _check_questions(self, digests: FileDigests) -> None:
        names = self.source.reading.names
        try:
            columns = digests.columns(self.source)
            if self.use.with_answers:
                columns.require("answers")
        except DataError as error:
            if not self._has_questions() and _can_be_read(captions_in(self.path, names=names)):
                raise self._wrong_kind("captions", "questions") from error
            raise
        questions = columns.questions() if self._has_more_to_check else iter(())
        for question in questions if self.use.with_answers else each_question_once(questions, self.path):
            self._check_question(question)
        self._check_size(len(columns))

    @property
    def _has_more_to_check(self) -> bool:
        return not self.use.with_answers or self.use.fewest_answers > 1

    def _has_questions(self) -> bool:
        """Return whether the first entry is a question."""
        questions = questions_in(self.path, self.use.with_answers, self.source.reading.names)
        try:
            return next(questions, None) is not None
        except DataError:
            return False

    def _check_question(self, question: QuestionEntry) -> None:
        if not self.use.with_answers and question.question_id is None:
            raise UserError(
                f'{place_in(self.path, question.line)}: field "question_id" is missing; the submission of stage {self.stage} '
                "needs one for every question"
            )
        if self.use.with_answers and self.use.fewest_answers > 1 and len(question.answers) < self.use.fewest_answers:
            raise UserError(
                f"{place_in(self.path, question.line)}: {len(question.answers)} answers, but the soft accuracy of stage "
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
        dataset, use = datasets[read.dataset], read.use
        source = source_of(dataset, use)
        if source is not None:
            yield AnnotationFile(
                source=source,
                use=use,
                field=f"datasets.{read.dataset}.splits.{use.split}",
                stage=stage,
                covers=source_of(dataset, replace(use, kind="captions")) if use.kind == "references" else None,
                is_default_batch="batch_size" in type(section).model_fields and "batch_size" not in section.model_fields_set,
            )
