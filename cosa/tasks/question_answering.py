"""Open-ended video question answering (paper, section 4)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cosa.data.annotation_use import AnnotationUse
from cosa.data.clip_settings import AnswerLength
from cosa.errors import UserError
from cosa.evaluation.metric import Metric
from cosa.section import Section, no_effect
from cosa.tasks.shown import Shown
from cosa.tasks.task import Baseline, Task, TaskSettings, TextLength

if TYPE_CHECKING:
    import torch

    from cosa.behaviour import Behaviour
    from cosa.data.annotations import QuestionEntry
    from cosa.data.batches import ClipSource
    from cosa.data.dataset_files import DatasetFiles
    from cosa.data.sample import Sample
    from cosa.evaluation.evaluation_result import EvaluationResult
    from cosa.evaluation.sample_scores import SampleScores
    from cosa.model import COSA

FEWEST_ANSWERS = 4  # of a question, for the soft accuracy: it leaves one person out and counts to three


class QuestionAnsweringSettings(TaskSettings, AnswerLength):
    """How answers are judged."""

    soft_accuracy: bool = Field(
        False, description="question answering: VQAv2's accuracy over ten human answers instead of exact match"
    )


class QuestionAnsweringEvaluation(Section):
    """What only evaluation has."""

    submission: bool = Field(False, description="the split has no answers: write submission.json for the benchmark's server")
    accuracy_by_type: bool = no_effect(False, description="question answering: print accuracy by types of questions, too")


class QuestionAnswering(Task[QuestionAnsweringSettings]):
    """Answers are generated greedily and compared with the accepted ones."""

    name = "question_answering"
    annotations = "questions"
    # vqa_accuracy is VQAv2's, also where only its server knows it.
    metrics = (Metric("accuracy", "QA accuracy"), Metric("vqa_accuracy"))
    main_metric = "accuracy"
    settings = QuestionAnsweringSettings
    evaluation_settings = QuestionAnsweringEvaluation
    switches = ("soft_accuracy", "submission", "accuracy_by_type")
    example_call = 'model.answer("clip.mp4", "what is shown?")'
    example_command = 'cosa ask clip.mp4 "what is shown?"'
    pipeline = "video-text-to-text"
    served_as = "answer"

    def objectives(self, settings: QuestionAnsweringSettings) -> tuple[str, ...]:
        """Masked-language modelling of answers."""
        del settings
        return ("qa",)

    def samples(self, dataset: DatasetFiles, split: str) -> Sequence[Sample]:
        """One sample a question, with its first answer."""
        from cosa.data.dataset_files import question_samples

        return question_samples(dataset, split)

    def validation_metrics(self, settings: QuestionAnsweringSettings) -> tuple[str, ...]:
        """Exact or soft, accuracy has one name."""
        del settings
        return ("accuracy",)

    def evaluated_annotations(self, settings: QuestionAnsweringSettings, split: str) -> tuple[AnnotationUse, ...]:
        """The split's questions; a submission's come without answers."""
        fewest = FEWEST_ANSWERS if settings.soft_accuracy else 1
        with_answers = not _is_submission(settings)
        return (AnnotationUse(split, "questions", evaluated=True, with_answers=with_answers, fewest_answers=fewest),)

    def baseline_annotations(self, settings: QuestionAnsweringSettings, split: str) -> tuple[AnnotationUse, ...]:
        """The questions whose most frequent answer is taken."""
        return () if _is_submission(settings) else (AnnotationUse(split, "questions", required=False),)

    def text_lengths(self, settings: QuestionAnsweringSettings) -> Iterator[TextLength]:
        """An answer stands behind the longest possible question, and behind it one more [MASK]."""
        yield TextLength("max_text_tokens", settings.max_text_tokens, "a text")
        answered = settings.max_text_tokens + settings.max_answer_tokens + 1
        yield TextLength("max_text_tokens", answered, "a question with its answer")

    def references(self, dataset: DatasetFiles, split: str, settings: QuestionAnsweringSettings) -> list[QuestionEntry]:
        """Questions with their accepted answers."""
        from cosa.data.dataset_files import question_entries

        return question_entries(dataset, split, require_answers=not _is_submission(settings))

    def media_ids(self, references: list[QuestionEntry]) -> list[str]:
        """The clips that are asked about."""
        return [question.video_id for question in references]

    def texts(self, references: list[QuestionEntry]) -> str:
        """The questions."""
        return f"{len(references)} questions"

    def evaluate(
        self,
        model: COSA,
        references: list[QuestionEntry],
        clips: ClipSource,
        settings: QuestionAnsweringSettings,
        *,
        device: torch.device,
        behaviour: Behaviour,
        metrics: Sequence[str] | None = None,
    ) -> EvaluationResult:
        """Answer every question; see `evaluate_question_answering`."""
        from cosa.evaluation.answer_generation import evaluate_question_answering

        del metrics  # there is one
        return evaluate_question_answering(
            model,
            references,
            clips,
            soft_accuracy=settings.soft_accuracy,
            max_question_tokens=settings.max_text_tokens,
            max_answer_tokens=settings.max_answer_tokens,
            batch_size=settings.eval_batch_size,
            device=device,
            behaviour=behaviour,
        )

    def sample_scores(self, result: EvaluationResult) -> SampleScores | None:
        """The accuracy of every answer, also by the type of the question; a submission's have none."""
        from cosa.evaluation.question_scores import question_scores

        return None if result.scores is None else question_scores(result.predictions, result.scores)

    def shows_parts(self, settings: QuestionAnsweringSettings) -> bool:
        """Those of types of questions, if they are asked for."""
        return isinstance(settings, QuestionAnsweringEvaluation) and settings.accuracy_by_type

    def baseline(
        self, dataset: DatasetFiles, split: str, baseline_split: str, settings: QuestionAnsweringSettings
    ) -> Baseline | None:
        """The most frequent answer of another split, given to every question."""
        if _is_submission(settings):
            return None
        from cosa.data.dataset_files import question_entries
        from cosa.evaluation.answer_metrics import most_frequent_answer_baseline, vqa_accuracy

        train_answers = [entry.answers[0] for entry in question_entries(dataset, baseline_split)]
        answers = [entry.answers for entry in self.references(dataset, split, settings)]
        answer, metrics = most_frequent_answer_baseline(train_answers, answers)
        if settings.soft_accuracy:
            metrics = {"accuracy": vqa_accuracy([answer] * len(answers), answers)["vqa_accuracy"]}
        return Baseline(metrics, "most frequent answer", {"most_frequent_answer": answer})

    def summary(self, metrics: Mapping[str, float]) -> str:
        """Accuracy; a submission has none."""
        return f"accuracy {metrics['accuracy']:.1f}" if "accuracy" in metrics else "submission.json written"

    def example(self, prediction: Mapping[str, Any]) -> str:
        """Its clip, the question, the answer, and what was expected, if that is known."""
        expected = " or ".join(dict.fromkeys(prediction["expected"]))
        known = f" (expected {expected})" if expected else ""
        return f"{prediction['video_id']}: {prediction['question']}: {prediction['answer'] or 'nothing'}{known}"

    def shown(self, prediction: Mapping[str, Any]) -> Shown:
        """The answer beside those that are accepted."""
        truth = tuple(dict.fromkeys(prediction["expected"]))
        return Shown(prediction["video_id"], asked=prediction["question"], said=prediction["answer"], truth=truth)

    def submission(
        self, predictions: Sequence[Mapping[str, Any]], folder: Path, settings: QuestionAnsweringSettings
    ) -> list[Path]:
        """submission.json as VQAv2's server wants it: [{"question_id": number, "answer": text}]."""
        if not _is_submission(settings):
            return []
        lacking = sum(prediction["question_id"] is None for prediction in predictions)
        if lacking:
            raise UserError(f"a submission needs a question_id for every question; {lacking} have none")
        rows = [{"question_id": _number(p["question_id"]), "answer": p["answer"]} for p in predictions]
        path = folder / "submission.json"
        path.write_text(json.dumps(rows) + "\n", encoding="utf-8")
        return [path]


def _is_submission(settings: Section) -> bool:
    return isinstance(settings, QuestionAnsweringEvaluation) and settings.submission


def _number(question_id: str) -> int | str:
    return int(question_id) if question_id.isdigit() else question_id
