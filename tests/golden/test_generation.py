"""Captions and answers: greedy and beam search."""

import json
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from cosa.behaviour import PUBLISHED
from cosa.data.annotations import QuestionEntry
from cosa.encoders.kv_cache import VideoMemory
from cosa.evaluation.answer_generation import evaluate_question_answering
from cosa.generation import Decoder, Prompt, generate, question_prompt
from cosa.objectives.answer_modelling import question_answer_mask
from tests.golden import golden
from tests.golden.golden import Encoder

pytestmark = pytest.mark.golden
CAPTIONS = sorted({
    name for encoder in golden.ENCODERS for name in golden.record(encoder, "generation")
    if re.fullmatch(r"cap_beam\d+_len\d+", name)
})  # fmt: skip
ANSWERS = sorted({
    name for encoder in golden.ENCODERS for name in golden.record(encoder, "generation") if re.fullmatch(r"qa_beam\d+", name)
})  # fmt: skip


def trimmed(encoder: Encoder, ids: Tensor, prompt: int) -> list[list[int]]:
    """Recorded ids without the prompt, [SEP] and padding."""
    tokenizer = golden.model_of(encoder).tokenizer
    rows = [[token for token in row if token != tokenizer.pad_id] for row in ids[:, prompt:].tolist()]
    return [row[: row.index(tokenizer.end_id)] if tokenizer.end_id in row else row for row in rows]


def captions_of(encoder: Encoder, memory: VideoMemory, expected: dict[str, Any]) -> list[list[int]]:
    return generate(
        golden.model_of(encoder), memory, max_tokens=expected["max_new_tokens"], beam_size=expected["num_beams"],
        length_penalty=expected["length_penalty"], behaviour=PUBLISHED,
    )  # fmt: skip


@pytest.mark.parametrize("case", CAPTIONS)
def test_captions(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "generation")[case]
    model = golden.model_of(encoder)
    memory = golden.video_of(encoder).memory(len(expected["ids"]))
    texts = captions_of(encoder, memory, expected)
    assert texts == trimmed(encoder, expected["ids"], prompt=1)
    assert [model.tokenizer.decode(ids) for ids in texts] == expected["captions"]
    assert captions_of(encoder, memory, expected) == texts, "generating again gives another text"


def test_captions_one_by_one(encoder: Encoder) -> None:
    found = golden.record(encoder, "generation")
    (key,) = [name for name in found if re.fullmatch(r"cap_beam\d+_one_by_one", name)]
    beams = key.removeprefix("cap_").split("_")[0]
    longest = max((name for name in CAPTIONS if f"{beams}_" in name), key=lambda name: found[name]["max_new_tokens"])
    decode, memory = golden.model_of(encoder).tokenizer.decode, golden.video_of(encoder).memory(len(found[key]))
    for row, expected in enumerate(found[key]):
        (ids,) = captions_of(encoder, memory.select(torch.tensor([row])), found[longest])
        assert decode(ids) == expected


def same_step(logits: Tensor, step: dict[str, Any]) -> None:
    top = logits.topk(step["top5_ids"].shape[1], dim=1)
    assert torch.equal(top.indices, step["top5_ids"])
    golden.close(top.values, step["top5_logits"])
    if "logsumexp" in step:
        golden.close(logits.logsumexp(1), step["logsumexp"])


@torch.no_grad()
def follow(encoder: Encoder, expected: dict[str, Any], memory: VideoMemory, prompt: Prompt | None, first: int) -> int:
    """Go along the recorded ids and compare every step's logits; the number of steps compared."""
    decoder = Decoder(golden.model_of(encoder), memory, prompt, max_tokens=100)
    for place, step in enumerate(expected["steps"]):
        newest = expected["ids"][:, first + place]
        if "input_ids" in step:
            mask_id = golden.model_of(encoder).tokenizer.mask_id
            assert torch.equal(step["input_ids"][:, -2:], torch.stack([newest, torch.full_like(newest, mask_id)], dim=1))
        same_step(decoder.next_logits(newest), step)
    return len(expected["steps"])


@pytest.mark.parametrize("case", CAPTIONS)
def test_logits_of_every_caption_step(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "generation")[case]
    if "steps" in expected:
        assert follow(encoder, expected, golden.video_of(encoder).memory(len(expected["ids"])), None, first=0) > 1
    else:
        assert expected["num_beams"] > 1 or expected["max_new_tokens"] < golden.option("max_generation_len")


def questions_of(encoder: Encoder, expected: dict[str, Any]) -> tuple[VideoMemory, Prompt, int]:
    counts = torch.tensor(expected["sample_num"])
    memory = golden.video_of(encoder).memory(len(counts)).select(torch.arange(len(counts)).repeat_interleave(counts))
    limit = golden.option("max_text_tokens")
    model = golden.model_of(encoder)
    ids = model.tokenizer.batch(expected["questions"], limit)  # trimmed to the longest: positions tell the rest
    return memory, question_prompt(model, memory, ids, limit), limit


@pytest.mark.parametrize("case", ANSWERS)
def test_answers(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "generation")[case]
    model = golden.model_of(encoder)
    memory, prompt, limit = questions_of(encoder, expected)
    texts = generate(
        model, memory, max_tokens=expected["max_new_tokens"], beam_size=expected["num_beams"], prompt=prompt,
        behaviour=PUBLISHED,
    )  # fmt: skip
    assert texts == trimmed(encoder, expected["ids"], prompt=limit + 1)
    started = torch.ones(len(texts), 2, dtype=torch.bool)  # [CLS] and the first [MASK]
    questions = golden.text_ids(encoder, expected["questions"], limit)
    mask = question_answer_mask(model.not_padding(questions), started).repeat_interleave(expected["num_beams"], 0)
    assert torch.equal(mask.long(), expected["initial_attention_mask"])
    assert [model.tokenizer.decode(ids) for ids in texts] == expected["generated"]
    if "steps" in expected:
        assert follow(encoder, expected, memory, prompt, first=limit) > 1


def test_accuracy_of_answers(encoder: Encoder) -> None:
    expected = golden.record(encoder, "generation")[ANSWERS[0]]
    rows = [row for row, count in enumerate(expected["sample_num"]) for _ in range(count)]
    questions = [
        QuestionEntry(str(row), question, (answer,), None, 1)
        for row, question, answer in zip(rows, expected["questions"], expected["answers"], strict=True)
    ]
    result = evaluate_question_answering(
        golden.model_of(encoder), questions, lambda name, _: golden.pixels()[int(name)],
        soft_accuracy=False, max_question_tokens=golden.option("max_text_tokens"),
        max_answer_tokens=expected["max_new_tokens"], batch_size=3, device=torch.device("cpu"), behaviour=PUBLISHED,
    )  # fmt: skip
    assert [row["answer"] for row in result.predictions] == expected["generated"]
    assert round(result.metrics["accuracy"], 2) == pytest.approx(expected["accuracy"])


def test_another_release_of_transformers_gives_the_same_captions(encoder: Encoder) -> None:
    for path in golden.FOLDER.glob("generation_transformers_*.json"):
        recorded = json.loads(path.read_text(encoding="utf-8"))[encoder]
        compared = 0
        for case in CAPTIONS:
            if case in recorded:
                expected = golden.record(encoder, "generation")[case]
                texts = captions_of(encoder, golden.video_of(encoder).memory(len(expected["ids"])), expected)
                assert [golden.model_of(encoder).tokenizer.decode(ids) for ids in texts] == recorded[case]["captions"]
                compared += 1
        assert compared


def test_double_precision_generates_the_same_captions(encoder: Encoder) -> None:
    expected = golden.record(encoder, "fp64_check")
    model = golden.fresh_model(encoder).double()
    for beams, equal in expected["captions_equal_in_fp64"].items():
        case = max((name for name in CAPTIONS if f"beam{beams}_" in name), key=lambda name: int(name.split("len")[1]))
        found = golden.record(encoder, "generation")[case]
        with torch.no_grad():
            memory = model.video_memory(model.encode_video(golden.pixels()[: len(found["ids"])]))
        texts = generate(
            model, memory, max_tokens=found["max_new_tokens"], beam_size=found["num_beams"],
            length_penalty=found["length_penalty"], behaviour=PUBLISHED,
        )  # fmt: skip
        assert equal
        assert texts == trimmed(encoder, found["ids"], prompt=1)
