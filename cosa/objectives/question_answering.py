"""QA finetuning: the question is read bidirectionally, the answer is generated causally behind it (paper, section 4)."""

import torch
from torch import Tensor

from cosa.config import ObjectiveSettings
from cosa.draws import Draws
from cosa.masking import IGNORED
from cosa.model import COSA
from cosa.objectives.masked_language import language_loss
from cosa.text import VideoMemory


def question_answering_loss(
    model: COSA,
    memory: VideoMemory,
    question_ids: Tensor,
    answer_ids: Tensor,
    max_question_tokens: int,
    settings: ObjectiveSettings,
    draws: Draws,
) -> Tensor:
    """Masked-language loss on the answers.

    Args:
        model: the model.
        memory: keys and values of the videos, one a question (or questions grouped by video).
        question_ids: (rows, question length) framed and padded.
        answer_ids: (rows, answer length) framed and padded.
        max_question_tokens: the answer's positions count on from here, so that trimming padding changes nothing.
        settings: constants.
        draws: source of the masks.
    """
    candidates = model.not_padding(answer_ids)
    candidates[:, 0] = False
    masked_answers, answer_labels = draws.masks(
        answer_ids,
        candidates,
        settings.answer_probability,
        mask_id=model.tokenizer.mask_id,
        vocabulary_size=model.tokenizer.vocabulary_size,
    )
    length = question_ids.shape[1]
    hidden, _ = model.multimodal(
        torch.cat([question_ids, masked_answers], dim=1),
        question_answer_mask(model.not_padding(question_ids), model.not_padding(answer_ids)),
        memory,
        positions=question_answer_positions(length, answer_ids.shape[1], max_question_tokens, question_ids.device),
    )
    labels = torch.cat([torch.full_like(question_ids, IGNORED), answer_labels], dim=1)
    return language_loss(model, hidden, labels)


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
