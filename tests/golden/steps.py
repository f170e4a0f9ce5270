"""Recorded training steps: their batch, their draws, their losses and gradients."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cosa.behaviour import PUBLISHED, Behaviour
from cosa.checkpoints.published_names import published_name
from cosa.data.batches import Batch
from cosa.data.concatenation import concatenated_text_limit, join_tokens
from cosa.model import COSA
from cosa.objectives import matching
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.training.losses import StepLosses
from tests.golden import golden
from tests.golden.recorded import RecordedDraws

# Parts of the published task names, in the order in which the published code draws.
OBJECTIVES = {
    "ret": ("itc", "itm"), "cret": ("citc", "citm"), "mlm": ("mlm",), "cap": ("cap",),
    "cmlm": ("cmlm",), "ccap": ("ccap",), "qa": ("qa",),
}  # fmt: skip
LOSSES = {
    "itc_loss_origin": "itc_loss", "itm_loss_origin": "itm_loss", "mlm_loss_origin": "mlm_loss",
    "caption_loss_origin": "cap_loss", "vqa_loss_origin": "qa_loss", "itc_loss_concatenated": "citc_loss",
    "itm_loss_concatenated": "citm_loss", "mlm_loss_concatenated": "cmlm_loss", "caption_loss_concatenated": "ccap_loss",
}  # fmt: skip


def objectives_of(task: str) -> tuple[str, ...]:
    """Our objectives of a published task such as 'ret_cret_ccap_cmlm'."""
    asked = task.split("_")
    return tuple(name for part, found in OBJECTIVES.items() if part in asked for name in found)


def behaviour_of(raw_pixels: bool) -> Behaviour:
    """Published, in the form of concatenation that was recorded."""
    return PUBLISHED if raw_pixels else replace(PUBLISHED, concatenated_videos="own_features")


def draws_of(step: dict[str, Any], rows: int) -> RecordedDraws:
    """What a step drew."""
    flat = step["multinomial"]
    return RecordedDraws(
        negatives=[flat[start : start + rows] for start in range(0, len(flat), rows)],
        masks=[(mask["input_ids"], mask["labels"]) for mask in step["masks"]],
    )


def batch_of(
    model: COSA, objectives: tuple[str, ...], captions: list[str], videos: list[int], samples: list[list[int]]
) -> Batch:
    """A worker's captions and videos. captions: of the global batch. videos: the worker's part of it."""
    tokens = [model.tokenizer.ids(caption) for caption in captions]
    limit, frame = golden.option("max_text_tokens"), model.tokenizer.frame
    batch = Batch(
        corpus="golden",
        objectives=objectives,
        media_ids=tuple(f"video{video}" for video in videos),
        frames=golden.pixels()[videos],
        identities=torch.tensor(videos),
        ids=model.tokenizer.pad([frame(tokens[video], limit) for video in videos]),
    )
    if not samples:
        return batch
    rows = [[video, *others] for video, others in zip(videos, samples, strict=True)]
    longest = concatenated_text_limit(limit, len(rows[0]))
    joined = [frame(join_tokens([tokens[i] for i in row]), longest) for row in rows]
    return replace(batch, members=torch.tensor(rows), concatenated_ids=model.tokenizer.pad(joined))


def with_questions(batch: Batch, model: COSA, questions: list[str], answers: list[str]) -> Batch:
    """The batch of a question answering step."""
    return replace(
        batch,
        ids=model.tokenizer.batch(questions, golden.option("max_text_tokens")),
        answer_ids=model.tokenizer.batch(answers, golden.option("qa_answer_tokens")),
        answer_position=golden.option("max_text_tokens"),
    )


def step_losses(model: COSA, behaviour: Behaviour) -> StepLosses:
    """The losses of a step with the set's constants."""
    return StepLosses(model, golden.settings(), behaviour=behaviour)


def matching_logits(batch: EncodedBatch, draws: RecordedDraws, share: int = 1) -> Tensor:
    """(3 * rows, 2) logits of the pairs that the matching loss takes."""
    outputs = batch.model.multimodal.encode(matching.matching_pairs(batch, draws, share))
    return matching.matching_logits(batch.model, [output.hidden for output in outputs])


def total_of(losses: dict[str, Tensor]) -> Tensor:
    """The training loss."""
    return StepLosses.total(losses)


def same_losses(found: dict[str, Tensor], expected: dict[str, float]) -> None:
    """Every recorded loss, and no other."""
    assert {LOSSES[name] for name in expected} == {name for name in found if name.endswith("_loss")}
    for name, value in expected.items():
        assert float(found[LOSSES[name]].detach()) == golden.loss(value), name


def by_published_name(model: COSA) -> dict[str, nn.Parameter]:
    """Our parameters under the published names."""
    family = model.config.vision.family
    return {published_name(name, family): parameter for name, parameter in model.named_parameters()}


def same_gradients(found: dict[str, Tensor | None], expected: dict[str, Any]) -> None:
    """Norms of all gradients agree; what has no gradient there has none here; directions agree through the projection."""
    assert set(found) <= set(expected), "a parameter has no record"
    compared = 0
    for name, stats in expected.items():
        gradient = found.get(name)
        norm = 0.0 if stats is None else stats["norm"]
        if name not in found:
            assert norm == 0.0, f"{name} is no part of our model and yet is trained"
            continue
        if gradient is None:
            assert norm == 0.0, f"{name} has no gradient"
            continue
        sums = golden.checksums(gradient)
        assert sums["norm"] == golden.gradient(norm), name
        if stats is not None:
            assert abs(sums["proj"] - stats["proj"]) <= golden.GRADIENT["rel"] * norm + golden.GRADIENT["abs"], name
            compared += 1
    assert compared


def without_dropout(model: COSA) -> COSA:
    """A copy of a model without dropout and stochastic depth."""
    text = model.config.text.model_copy(update={"dropout": 0.0})
    vision = model.config.vision.model_copy(update={"drop_path_rate": 0.0})
    config = model.config.model_copy(update={"text": text, "vision": vision})
    copy = COSA(config)
    copy.load_state_dict(model.state_dict())
    return copy
