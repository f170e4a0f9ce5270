from collections.abc import Sequence

import numpy as np
import pytest
import torch

from cosa.data.annotations import QuestionEntry
from cosa.evaluation.answer_generation import evaluate_question_answering
from cosa.evaluation.answer_metrics import vqa_accuracy
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.generation import generate, question_prompt
from tests.cosa.test_generation import lively_model
from tests.support import CAPTIONS, random_clips

LIMITS = {"max_question_tokens": 10, "max_answer_tokens": 5}


def questions(answers: Sequence[Sequence[str]] = ()) -> list[QuestionEntry]:
    given = answers or [("red", "blue")] * 8
    return [QuestionEntry(f"v{(3 * i) % 4}", CAPTIONS[i], tuple(given[i]), str(i), i) for i in range(8)]


def run(entries: Sequence[QuestionEntry], batch: int = 3, *, soft: bool = False) -> EvaluationResult:
    return evaluate_question_answering(
        lively_model(), entries, random_clips, soft_accuracy=soft, batch_size=batch, device=torch.device("cpu"), **LIMITS
    )


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_answers_are_those_of_each_question_alone(batch: int) -> None:
    model, entries = lively_model(), questions()
    result = run(entries, batch)
    for entry, row in zip(entries, result.predictions, strict=True):
        memory = model.video_memory(model.encode_video(random_clips(entry.video_id, None)[None]))
        prompt = question_prompt(model, memory, model.tokenizer.batch([entry.question], 10), 10)
        [ids] = generate(model, memory, max_tokens=5, prompt=prompt)
        assert row["answer"] == model.tokenizer.decode(ids)
        assert (row["video_id"], row["question"], row["question_id"]) == (entry.video_id, entry.question, entry.question_id)
        assert row["expected"] == ["red", "blue"]
    assert len({row["answer"] for row in result.predictions}) > 2


def test_every_clip_is_read_once() -> None:
    read: list[str] = []

    def counted(media_id: str, generator: np.random.Generator | None) -> torch.Tensor:
        read.append(media_id)
        return random_clips(media_id, generator)

    evaluate_question_answering(
        lively_model(), questions(), counted, soft_accuracy=False, batch_size=2, device=torch.device("cpu"), **LIMITS
    )
    assert sorted(read) == ["v0", "v1", "v2", "v3"]


def test_exact_accuracy() -> None:
    texts = [row["answer"] for row in run(questions()).predictions]
    right = [(text, "else") if i < 6 else ("wrong answer",) for i, text in enumerate(texts)]
    assert run(questions(right)).metrics == {"accuracy": 75.0}


def test_soft_accuracy_has_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [row["answer"] for row in run(questions()).predictions]
    people = [[text] * (i % 4) + ["other"] * (10 - i % 4) for i, text in enumerate(texts)]
    result = run(questions(people), soft=True)
    assert result.metrics == {"accuracy": vqa_accuracy(texts, people)["vqa_accuracy"]}
    assert 0 < result.metrics["accuracy"] < 100
    assert run(questions(people)).metrics["accuracy"] != result.metrics["accuracy"]


def test_a_submission_set_has_no_metrics() -> None:
    without = questions([()] * 8)
    result = run(without)
    assert result.metrics == {}
    assert len(result.predictions) == 8
