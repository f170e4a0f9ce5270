"""The decoder that keeps keys and values against a naive one that runs the full text again at every step."""

import math
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from cosa.behaviour import DEFAULT, PUBLISHED, Behaviour
from cosa.encoders.kv_cache import VideoMemory
from cosa.generation import Prompt, generate, question_prompt
from cosa.model import COSA
from cosa.objectives.answer_modelling import question_answer_mask, question_answer_positions
from tests.support import FAMILIES, Family, random_frames, tiny_model

QUESTIONS = ["what is the man doing", "who", "how many dogs play on the grass", "where is the red ball"]
LIMIT = 10  # tokens of a question
CLS, SEP, MASK = 101, 102, 103


@lru_cache
def lively_model(family: Family = "swin", seed: int = 0, end_bonus: float = 3.5) -> COSA:
    """Texts depend on the video and the position, and [SEP] is likely enough for texts of different lengths."""
    model = tiny_model(family, seed=seed, spread=0.2)
    with torch.no_grad():
        model.multimodal.bert.embeddings.position_embeddings.weight *= 4
        for layer in model.multimodal.layers:
            for part in ("query", "key", "value"):
                getattr(layer.crossattention.self, part).weight.mul_(4)
        model.multimodal.cls.predictions.bias[SEP] += end_bonus
    return model


def memory_of(model: COSA, videos: int = 4) -> VideoMemory:
    with torch.no_grad():
        return model.video_memory(model.encode_video(random_frames(videos, 2)))


@torch.no_grad()
def naive_log_probabilities(model: COSA, memory: VideoMemory, question: Tensor | None, text: list[int]) -> Tensor:
    """Log-probabilities of the token behind [CLS] + text, for one video, from scratch: (vocabulary,)."""
    ids = torch.tensor([[CLS, *text, MASK]])
    seen = torch.ones_like(ids, dtype=torch.bool)
    if question is None:
        hidden, _ = model.multimodal(ids, model.causal_mask(seen), memory)
    else:
        mask = question_answer_mask(question[None] != 0, seen)
        positions = question_answer_positions(len(question), ids.shape[1], LIMIT, ids.device)
        hidden, _ = model.multimodal(torch.cat([question[None], ids], 1), mask, memory, positions=positions)
    return model.multimodal.cls(hidden)[0, -1].log_softmax(-1)


def naive_greedy(model: COSA, memory: VideoMemory, question: Tensor | None, max_tokens: int) -> list[int]:
    text: list[int] = []
    while len(text) < max_tokens:
        token = int(naive_log_probabilities(model, memory, question, text).argmax())
        if token == SEP:
            break
        text.append(token)
    return text


def naive_beam(
    model: COSA, memory: VideoMemory, question: Tensor | None, max_tokens: int, beams: int, penalty: float, before: int
) -> list[int]:
    """Published beam search for one video, by its description; `before` is counted on top of a text's own tokens."""
    running: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    for _ in range(max_tokens):
        candidates = []
        for place, (score, text) in enumerate(running):
            log_probabilities = naive_log_probabilities(model, memory, question, text)
            values, tokens = log_probabilities.topk(2 * beams)
            candidates += [(score + v, place, t) for v, t in zip(values.tolist(), tokens.tolist(), strict=True)]
        candidates = sorted(candidates, reverse=True)[: 2 * beams]
        for score, place, token in candidates[:beams]:
            if token == SEP:
                text = running[place][1]
                finished.append((score / (before + len(text)) ** penalty, text))
        finished = sorted(finished, key=lambda item: -item[0])[:beams]
        running = [(score, [*running[place][1], token]) for score, place, token in candidates if token != SEP][:beams]
        reachable = candidates[0][0] / (before + len(running[0][1])) ** penalty
        if len(finished) == beams and finished[-1][0] >= reachable:
            return finished[0][1]
    finished += [(score / (before + len(text)) ** penalty, text) for score, text in running]
    return max(finished, key=lambda item: item[0])[1]


def questions_of(model: COSA, padding: int) -> Tensor:
    return torch.nn.functional.pad(model.tokenizer.batch(QUESTIONS, LIMIT), (0, padding))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("padding", [None, 0, 2])
@pytest.mark.parametrize(("beams", "penalty"), [(1, 1.0), (2, 0.6), (3, 0.6), (3, 0.0), (4, 2.0)])
@pytest.mark.parametrize("behaviour", [DEFAULT, PUBLISHED])
def test_equals_running_the_full_text_at_every_step(
    family: Family, seed: int, padding: int | None, beams: int, penalty: float, behaviour: Behaviour
) -> None:
    """padding: None for captions, else of the questions."""
    model, max_tokens = lively_model(family, seed), 7
    memory = memory_of(model)
    questions = questions_of(model, padding) if padding is not None else None
    prompt = question_prompt(model, memory, questions, LIMIT) if questions is not None else None
    texts = generate(
        model, memory, max_tokens=max_tokens, beam_size=beams, length_penalty=penalty, prompt=prompt, behaviour=behaviour
    )
    before = 1 + (LIMIT if questions is not None and behaviour.prompt_counts_as_length else 0)
    for row, text in enumerate(texts):
        one, question = memory.select(torch.tensor([row])), questions[row] if questions is not None else None
        if beams == 1:
            assert text == naive_greedy(model, one, question, max_tokens)
        else:
            assert text == naive_beam(model, one, question, max_tokens, beams, penalty, before)


def texts_of_all(beam_size: int, length_penalty: float = 0.6) -> list[list[int]]:
    return [
        text
        for family in FAMILIES
        for seed in (0, 1)
        for text in generate(
            lively_model(family, seed), memory_of(lively_model(family, seed)),
            max_tokens=7, beam_size=beam_size, length_penalty=length_penalty,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("beams", [1, 3])
def test_texts_of_the_lively_models_differ(beams: int) -> None:
    """What the other tests compare is neither all empty nor all cut."""
    texts = texts_of_all(beams)
    assert len(set(map(tuple, texts))) > 5
    assert len({len(text) for text in texts}) > 2


@pytest.mark.parametrize("beams", [1, 3])
def test_a_row_alone_equals_the_row_in_a_batch(beams: int) -> None:
    model = lively_model()
    memory, questions = memory_of(model, 4), questions_of(model, 0)
    together = generate(model, memory, max_tokens=8, beam_size=beams, prompt=question_prompt(model, memory, questions, LIMIT))
    for row in range(4):
        one, question = memory.select(torch.tensor([row])), questions[row : row + 1]
        question = question[:, : int((question != 0).sum())]  # no padding either
        prompt = question_prompt(model, one, question, LIMIT)
        assert generate(model, one, max_tokens=8, beam_size=beams, prompt=prompt) == [together[row]]


def test_stops_at_the_limit_and_leaves_special_tokens_out() -> None:
    for bonus, length in ((-100.0, 5), (1000.0, 0)):
        model = lively_model(end_bonus=bonus)
        for beams in (1, 2):
            texts = generate(model, memory_of(model), max_tokens=5, beam_size=beams)
            assert [len(text) for text in texts] == [length] * 4


def test_a_larger_penalty_prefers_longer_texts() -> None:
    short, long = (sum(map(len, texts_of_all(3, penalty))) for penalty in (0.0, 3.0))
    assert short < long


def test_the_prompt_counts_the_full_question() -> None:
    model = lively_model()
    prompt = question_prompt(model, memory_of(model), questions_of(model, 0), LIMIT)
    assert isinstance(prompt, Prompt)
    assert prompt.position == LIMIT
    assert math.prod(prompt.visible.shape) == prompt.keys_values[0][0].shape[0] * prompt.keys_values[0][0].shape[2]


@pytest.mark.parametrize("penalty", [0.5, 1.0, 2.0])
def test_beam_search_stops_where_the_published_one_stops(penalty: float) -> None:
    """Whether a row is done is decided by small differences: many rows see all of them."""
    model = lively_model(seed=1)
    memory = memory_of(model, 24)
    texts = generate(model, memory, max_tokens=6, beam_size=2, length_penalty=penalty)
    expected = [naive_beam(model, memory.select(torch.tensor([row])), None, 6, 2, penalty, 1) for row in range(24)]
    assert texts == expected
