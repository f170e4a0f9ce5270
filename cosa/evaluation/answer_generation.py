"""Question answering: answers are generated greedily and compared with the accepted ones (paper, section 4)."""

from collections.abc import Sequence

import torch

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.annotations import QuestionEntry
from cosa.data.batches import ClipSource
from cosa.distributed import gather_objects, rank, world_size
from cosa.evaluation.answer_metrics import answers_right, vqa_scores
from cosa.evaluation.encoding import encode_batches, share_of_worker
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.evaluation.question_types import type_of
from cosa.generation import generate_answers
from cosa.model import COSA
from cosa.ops import packed_weights


@torch.no_grad()
def evaluate_question_answering(
    model: COSA,
    questions: Sequence[QuestionEntry],
    clips: ClipSource,
    *,
    soft_accuracy: bool,
    max_question_tokens: int,
    max_answer_tokens: int,
    batch_size: int,
    device: torch.device,
    behaviour: Behaviour = DEFAULT,
) -> EvaluationResult:
    """Answer every question. Clips are encoded once however many questions they have.

    Args:
        model: the model.
        questions: with their accepted answers; without any, nothing is scored.
        clips: frames of the clips that are asked about.
        soft_accuracy: VQAv2's accuracy over ten human answers instead of exact match.
        max_question_tokens: longest question, tokens.
        max_answer_tokens: longest answer, tokens.
        batch_size: clips encoded, and questions answered, at once.
        device: of the model.
        behaviour: how answers are compared.
    """
    model.eval()
    video_ids = list(dict.fromkeys(question.video_id for question in questions))
    mine = [video_ids[i] for i in share_of_worker(len(video_ids), rank(), world_size())]
    of_video: dict[str, list[int]] = {video_id: [] for video_id in mine}
    for index, question in enumerate(questions):
        if question.video_id in of_video:
            of_video[question.video_id].append(index)
    answers: dict[int, str] = {}
    with packed_weights(model.multimodal):
        for chunk, features in encode_batches(model, mine, clips, batch_size, device):
            pairs = [(row, index) for row, video_id in enumerate(chunk) for index in of_video[video_id]]
            texts = generate_answers(
                model,
                features,
                [(row, questions[index].question) for row, index in pairs],
                max_question_tokens=max_question_tokens,
                max_tokens=max_answer_tokens,
                batch_size=batch_size,
            )
            answers.update({index: text for (_, index), text in zip(pairs, texts, strict=True)})
    merged = {index: text for part in gather_objects(answers) for index, text in part.items()}
    ordered = [merged[index] for index in range(len(questions))]
    predictions = [
        {
            "video_id": question.video_id,
            "question_id": question.question_id,
            "question": question.question,
            "answer": answer,
            "expected": list(question.answers),
        }
        for question, answer in zip(questions, ordered, strict=True)
    ]
    if not all(question.answers for question in questions):  # a submission set comes without answers
        return EvaluationResult({}, predictions)
    scores = _scores(ordered, questions, behaviour, soft=soft_accuracy)
    # One name, exact or soft, so that checkpoints are chosen by it either way.
    accuracy = 100.0 * sum(scores) / len(scores)
    of_questions = {"accuracy": scores, "question_type": [type_of(question) for question in questions]}
    return EvaluationResult({"accuracy": accuracy}, predictions, of_questions)


def _scores(answers: Sequence[str], questions: Sequence[QuestionEntry], behaviour: Behaviour, *, soft: bool) -> Sequence[float]:
    """The score of every answer, 0 to 1: exact, or VQAv2's."""
    accepted = [question.answers for question in questions]
    if soft:
        return vqa_scores(answers, accepted)
    return answers_right(answers, accepted, "none" if behaviour.answers_verbatim else "words")
