"""QA finetuning: the question is read bidirectionally, the answer is generated causally behind it (paper, section 4)."""

import torch
from torch import Tensor

from cosa.encoders.encoder_input import Reading
from cosa.encoders.kv_cache import VideoMemory
from cosa.model import COSA
from cosa.objectives.draws import Draws
from cosa.objectives.masked_language import language_loss, masked_texts, masking_probability
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.objectives.pending import Pending


def question_answering_loss(
    model: COSA,
    memory: VideoMemory,
    question_ids: Tensor,
    answer_ids: Tensor,
    max_question_tokens: int,
    settings: ObjectiveSettings,
    draws: Draws,
) -> Pending:
    """Masked-language loss on the answers.

    Args:
        model: the model.
        memory: keys and values of the videos, one a question (or questions grouped by video).
        question_ids: (rows, question length) framed and padded.
        answer_ids: (rows, answer length) framed and padded, on the host.
        max_question_tokens: the answer's positions count on from here, so that trimming padding changes nothing.
        settings: constants.
        draws: source of the masks.
    """
    device, length = question_ids.device, question_ids.shape[1]
    answers = masked_texts(model, answer_ids, masking_probability("qa", settings), draws).to(device)
    reading = Reading(
        torch.cat([question_ids, answers.ids], dim=1),
        question_answer_mask(model.not_padding(question_ids), model.not_padding(answer_ids).to(device)),
        memory,
        wanted=answers.places + length,
        positions=question_answer_positions(length, answer_ids.shape[1], max_question_tokens, device),
    )
    return Pending([reading], language_loss(model, answers))


def question_answer_mask(question: Tensor, answer: Tensor) -> Tensor:
    """(rows, q) and (rows, a) true where not padding, to (rows, q+a, q+a).

    Question tokens see the question; answer tokens see the question, themselves and earlier answer tokens.
    """
    rows, q = question.shape
    a = answer.shape[1]
    mask = torch.zeros(rows, q + a, q + a, dtype=torch.bool, device=question.device)
    mask[:, :, :q] = question[:, None]
    mask[:, q:, q:] = COSA.causal_mask(answer)
    return mask


def question_answer_positions(question: int, answer: int, max_question_tokens: int, device: torch.device) -> Tensor:
    """(question + answer,) position numbers: the answer starts behind the longest possible question."""
    return torch.cat([torch.arange(question, device=device), torch.arange(answer, device=device) + max_question_tokens])
