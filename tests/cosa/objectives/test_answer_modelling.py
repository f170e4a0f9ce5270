import pytest
import torch
import torch.nn.functional as F

from cosa.draws import Draws
from cosa.objectives.answer_modelling import question_answer_mask, question_answering_loss
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.token_masking import mask_tokens
from tests.support import FAMILIES, Family, encoded_questions, random_frames, tiny_model

QUESTIONS = ["what is the man doing", "who", "how many dogs play on the grass"]
ANSWERS = ["singing a song", "two", "the woman in red"]
SETTINGS = ObjectiveSettings(answer_probability=0.7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("padding", [0, 4])
def test_equals_a_loop_over_rows_padded_to_the_limit(family: Family, padding: int) -> None:
    """The published form pads every question to the limit; trimming that padding changes nothing."""
    model = tiny_model(family)
    limit = 12
    videos = model.encode_video(random_frames(3, 2))
    questions, answers = (F.pad(model.tokenizer.batch(texts, limit), (0, padding)) for texts in (QUESTIONS, ANSWERS))
    batch = encoded_questions(model, videos, questions, answers, limit + padding)
    loss = question_answering_loss(batch, SETTINGS, Draws(torch.Generator().manual_seed(2))).loss(model)
    memory = model.video_memory(videos)
    candidates = (answers != 0) & (torch.arange(answers.shape[1]) > 0)
    masked, labels = mask_tokens(
        answers, candidates, 0.7, mask_id=103, vocabulary_size=4161, generator=torch.Generator().manual_seed(2)
    )
    losses: list[torch.Tensor] = []
    for row in range(3):
        question = F.pad(questions[row], (0, limit + padding - questions.shape[1]))
        ids = torch.cat([question, masked[row]])
        length, q = len(ids), len(question)
        mask = torch.zeros(length, length, dtype=torch.bool)
        for query in range(length):
            for key in range(length):
                if key < q:
                    mask[query, key] = question[key] != 0
                else:
                    mask[query, key] = q <= query and key <= query and answers[row, key - q] != 0
        hidden, _ = model.multimodal(ids[None], mask[None], memory.select(torch.tensor([row])))
        logits = model.multimodal.cls(hidden[0, q:])
        losses.extend(F.cross_entropy(logits[i], labels[row, i]) for i in torch.nonzero(labels[row] != -100)[:, 0])
    torch.testing.assert_close(loss, torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


def test_mask_by_example() -> None:
    mask = question_answer_mask(torch.tensor([[True, False]]), torch.tensor([[True, True, False]]))
    assert mask[0].int().tolist() == [
        [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 1, 1, 0], [1, 0, 1, 1, 0],
    ]  # fmt: skip


def test_several_questions_share_a_video() -> None:
    model = tiny_model()
    videos = model.encode_video(random_frames(1, 2))
    questions, answers = (model.tokenizer.batch(texts, 12) for texts in (QUESTIONS, ANSWERS))
    shared, copied = (
        question_answering_loss(
            encoded_questions(model, v, questions, answers, 12), SETTINGS, Draws(torch.Generator().manual_seed(2))
        ).loss(model)
        for v in (videos, videos.select(torch.tensor([0, 0, 0])))
    )
    torch.testing.assert_close(shared, copied)
