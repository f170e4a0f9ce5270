"""MLM, captioning (one and several captions a video) and question answering on single samples."""

import pytest
import torch

from cosa.objectives.answer_modelling import question_answer_mask, question_answer_positions, question_answering_loss
from cosa.objectives.masked_language import captioning_loss, masked_language_loss
from tests.golden import golden
from tests.golden.golden import Encoder
from tests.golden.language import language_loss, same_logits, same_loss
from tests.golden.recorded import RecordedDraws
from tests.support import encoded_questions

pytestmark = pytest.mark.golden


@pytest.mark.parametrize(("name", "loss"), [("mlm", masked_language_loss), ("cap", captioning_loss)])
@torch.no_grad()
def test_one_caption_a_video(encoder: Encoder, name: str, loss: object) -> None:
    expected = golden.record(encoder, name)
    model = golden.model_of(encoder)
    masked, labels = expected["masked_input_ids"], expected["labels"]
    ids = golden.text_ids(encoder, golden.config()["captions"][: len(masked)], masked.shape[1])
    batch = golden.batch_of(encoder, ids)
    not_padding = model.not_padding(ids)
    mask = not_padding if name == "mlm" else model.causal_mask(not_padding)
    assert torch.equal(mask.long(), expected["encoder_attention_mask"])
    assert torch.equal(masked, expected["encoder_input_ids"])
    hidden, _ = model.multimodal(masked, mask, batch.memory)
    golden.close(hidden, expected["sequence_output"])
    same_logits(model, hidden, expected["logits"])
    trimmed = golden.batch_of(encoder, ids[:, : int((ids != 0).sum(1).max())])
    for one in (batch, trimmed):
        draws = RecordedDraws(masks=[(masked, labels)])
        found = float(loss(one, golden.settings(), draws).loss(model))  # type: ignore[operator]
        assert found == pytest.approx(float(language_loss(model, hidden, labels)), rel=1e-5)
    same_loss(model, hidden, labels, expected["loss"])


@torch.no_grad()
def test_several_captions_a_video(encoder: Encoder) -> None:
    expected = golden.record(encoder, "cap_multi")
    model = golden.model_of(encoder)
    masked, labels = expected["masked_input_ids"], expected["labels"]
    ids = golden.text_ids(encoder, expected["raw_sentences"], masked.shape[1])
    counts = torch.tensor(expected["sample_num"])
    video_of_row = torch.arange(len(counts)).repeat_interleave(counts)
    assert [f"video{row}" for row in video_of_row.tolist()] == expected["ids_txt"]
    features = golden.video_of(encoder).features(len(counts)).select(video_of_row)
    video_input = model.video_input(features)
    golden.same_checksums(video_input, expected["video_input_stats"])
    golden.close(video_input[:, 0], expected["video_input_first_token"])
    mask = model.causal_mask(model.not_padding(ids))
    assert torch.equal(mask.long(), expected["encoder_attention_mask"])
    hidden, _ = model.multimodal(masked, mask, model.video_memory(features))
    golden.close(hidden, expected["sequence_output"])
    same_logits(model, hidden, expected["logits"])
    same_loss(model, hidden, labels, expected["loss"])


@torch.no_grad()
def test_question_answering(encoder: Encoder) -> None:
    expected = golden.record(encoder, "qa")
    model = golden.model_of(encoder)
    masked, labels = expected["masked_input_ids"], expected["labels"]
    limit = expected["encoder_input_ids"].shape[1] - masked.shape[1]
    assert masked.shape[1] == golden.option("qa_answer_tokens")
    questions = golden.text_ids(encoder, expected["questions"], limit)
    answers = golden.text_ids(encoder, expected["answers"], masked.shape[1])
    memory = golden.video_of(encoder).memory(len(questions))
    mask = question_answer_mask(model.not_padding(questions), model.not_padding(answers))
    assert torch.equal(mask.long(), expected["encoder_attention_mask"])
    positions = question_answer_positions(limit, masked.shape[1], limit, questions.device)
    ids = torch.cat([questions, masked], dim=1)
    assert torch.equal(ids, expected["encoder_input_ids"])
    hidden, _ = model.multimodal(ids, mask, memory, positions=positions)
    golden.close(hidden, expected["sequence_output"])
    same_logits(model, hidden, expected["logits"])
    same_loss(model, hidden, expected["encoder_labels"], expected["loss"])
    for texts in ((questions, answers), tuple(t[:, : int((t != 0).sum(1).max())] for t in (questions, answers))):
        draws = RecordedDraws(masks=[(masked, labels)])
        batch = encoded_questions(model, golden.video_of(encoder).features(len(questions)), *texts, limit)
        loss = question_answering_loss(batch, golden.settings(), draws).loss(model)
        assert float(loss) == pytest.approx(float(language_loss(model, hidden, expected["encoder_labels"])), rel=1e-5)
