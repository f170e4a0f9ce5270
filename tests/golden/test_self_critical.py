"""SCST: baselines, log-probabilities of recorded samples, rewards, loss and gradients."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cosa.behaviour import PUBLISHED
from cosa.data.batches import Batch
from cosa.generation import generate
from cosa.model import COSA
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.self_critical import (
    CiderReward,
    SelfCritical,
    reference_ids,
    self_critical_loss,
    sequence_log_probabilities,
)
from tests.golden import golden, steps
from tests.golden.golden import Encoder
from tests.golden.recorded import RecordedDraws

pytestmark = pytest.mark.golden
CASES = sorted({
    name for encoder in golden.ENCODERS for name in golden.record(encoder, "scst") if name.startswith("baseline_beam")
})  # fmt: skip


def reward_of(model: COSA, annotations: list[dict[str, str]]) -> CiderReward:
    references: dict[str, list[tuple[int, ...]]] = {}
    for row in annotations:
        caption = row["caption"] if "caption" in row else row["desc"]  # the published scorer's order
        references.setdefault(row["video_id"], []).append(reference_ids(caption, model.tokenizer, PUBLISHED))
    return CiderReward(references)


def same(found: np.ndarray, expected: torch.Tensor) -> None:
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-9)


def sampled_texts(model: COSA, ids: torch.Tensor) -> list[list[int]]:
    """Recorded samples with their [SEP] and without the prompt and padding."""
    rows = [[token for token in row if token != model.tokenizer.pad_id] for row in ids[:, 1:].tolist()]
    end = model.tokenizer.end_id
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def test_rewards(encoder: Encoder) -> None:
    recorded = golden.record(encoder, "scst")
    model = golden.model_of(encoder)
    reward = reward_of(model, recorded["train_annotations"])
    assert len({row["video_id"] for row in recorded["train_annotations"]}) == recorded["num_documents"]
    assert np.log(recorded["num_documents"]) == pytest.approx(recorded["ref_len"])
    only = recorded["scorer_only"]
    same(reward(only["ids"], only["hypotheses"]), only["rewards"])
    for case in CASES:
        found = recorded[case]
        for name in ("baseline", "sample"):
            same(reward(found["ids"], found[f"{name}_processed"]), found[f"reward_{name}"])
        same((found["reward_sample"] - found["reward_baseline"]).numpy(), found["rewards"])


@pytest.mark.parametrize("case", CASES)
def test_baseline_and_samples(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, "scst")[case]
    model, rows = golden.model_of(encoder), len(expected["ids"])
    memory = golden.video_of(encoder).memory(rows)
    baseline = generate(
        model, memory, max_tokens=golden.option("max_generation_len"), beam_size=beams_of(case), behaviour=PUBLISHED
    )
    assert baseline == expected["baseline_processed"]
    texts = sampled_texts(model, expected["sample_ids"])
    end = model.tokenizer.end_id
    assert [text[: text.index(end)] if end in text else text for text in texts] == expected["sample_processed"]
    with torch.no_grad():
        found, present = sequence_log_probabilities(model, memory, texts)
    recorded = expected["sample_logprobs"][:, : found.shape[1]]
    golden.close(torch.where(present, found, 0.0), torch.where(present, recorded, 0.0))


def beams_of(case: str) -> int:
    return int(case.removeprefix("baseline_beam"))


def run(encoder: Encoder, case: str) -> tuple[COSA, torch.Tensor, dict[str, Any], torch.Tensor]:
    recorded = golden.record(encoder, "scst")
    expected = recorded[case]
    model = steps.without_dropout(golden.model_of(encoder)).train()
    settings = SelfCritical(
        reward_of(model, recorded["train_annotations"]), golden.option("max_generation_len"), beams_of(case)
    )
    rows = torch.arange(len(expected["ids"]))
    source = Batch("golden", ("scst",), tuple(expected["ids"]), golden.pixels()[: len(rows)], rows, rows[:, None])
    batch = EncodedBatch.encode(model, source.ids, source.frames, rows, PUBLISHED)
    draws = RecordedDraws(tokens=expected["sample_ids"][:, 1:])
    pending = self_critical_loss(replace(batch, source=source), settings, draws)
    return model, pending.loss(model), expected, pending.recorded["reward"]


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients(encoder: Encoder, case: str) -> None:
    model, loss, expected, reward = run(encoder, case)
    assert float(loss.detach()) == golden.loss(expected["loss"])
    assert float(reward) == pytest.approx(float(expected["reward_sample"].mean()))
    assert model.training
    loss.backward()
    found = {name: parameter.grad for name, parameter in steps.by_published_name(model).items()}
    steps.same_gradients(found, expected["grads"])
