"""QA finetuning: the question is encoded bidirectionally, the answer is generated causally behind it (paper, section 4)."""

import torch
from torch import Tensor

from cosa.draws import Draws
from cosa.encoders.encoder_input import EncoderInput
from cosa.model import COSA
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.masked_language import language_loss, masked_texts
from cosa.objectives.objective_settings import AnswerModellingSettings
from cosa.objectives.pending import Pending


def question_answering_loss(batch: EncodedBatch, settings: AnswerModellingSettings, draws: Draws) -> Pending:
    """Masked-language loss on the answers.

    batch: of questions, one a video or grouped by video (see `EncoderInput`), from a source with answers.
    """
    model, question_ids, source = batch.model, batch.ids, batch.source
    assert source is not None
    assert source.answer_position is not None
    answer_ids = source.host.answer_ids
    assert answer_ids is not None
    device, length = question_ids.device, question_ids.shape[1]
    answers = masked_texts(model, answer_ids, settings.answer_probability, draws).to(device)
    given = EncoderInput(
        torch.cat([question_ids, answers.ids], dim=1),
        question_answer_mask(model.not_padding(question_ids), model.not_padding(answer_ids).to(device)),
        model.video_memory(batch.videos),
        wanted=answers.places + length,
        positions=question_answer_positions(length, answer_ids.shape[1], source.answer_position, device),
    )
    return Pending([given], language_loss(model, answers))


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


def question_answer_positions(question: int, answer: int, answer_position: int, device: torch.device) -> Tensor:
    """(question + answer,) position numbers: the answer starts behind the longest possible question, whatever its padding."""
    return torch.cat([torch.arange(question, device=device), torch.arange(answer, device=device) + answer_position])
