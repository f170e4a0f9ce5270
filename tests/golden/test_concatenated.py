"""The concatenated branch in both published forms: joined pixels, and joined features."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cosa.behaviour import DEFAULT, PUBLISHED
from cosa.data.batches import Batch
from cosa.data.concatenation import concatenated_text_limit, join_tokens
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.matching import SHARE_OF_CONCATENATED
from cosa.training.losses import StepLosses
from tests.golden import golden, steps
from tests.golden.golden import Encoder
from tests.golden.language import recorded_arithmetic, same_logits
from tests.golden.recorded import RecordedDraws

pytestmark = pytest.mark.golden
CASES = sorted({name for encoder in golden.ENCODERS for name in golden.names(encoder, "concat_*")})
LOSSES = {
    "citc": "itc_loss_concatenated", "citm": "itm_loss_concatenated",
    "cmlm": "mlm_loss_concatenated", "ccap": "caption_loss_concatenated",
}  # fmt: skip


def concatenated(expected: dict[str, Any], ids: Tensor, objectives: tuple[str, ...] = tuple(LOSSES)) -> Batch:
    rows = expected["batch"]
    members = torch.cat([torch.arange(rows)[:, None], torch.tensor(expected["concatenated_idxs"])], dim=1)
    return Batch(
        corpus="golden", objectives=objectives, media_ids=tuple(map(str, range(rows))), frames=golden.pixels()[:rows],
        identities=torch.arange(rows), ids=ids[:, :4], members=members, concatenated_ids=ids,
    )  # fmt: skip


def joined_of(encoder: Encoder, expected: dict[str, Any]) -> EncodedBatch:
    model, batch = golden.model_of(encoder), concatenated(expected, expected["input_ids"])
    assert batch.members is not None
    if expected["raw_pixels"]:
        frames = batch.frames[batch.members].flatten(1, 2)
        return EncodedBatch.encode(model, expected["input_ids"], frames, batch.identities, PUBLISHED)
    single = golden.batch_of(encoder, expected["input_ids"][:, :4], behaviour=form(expected))
    return single.concatenated(expected["input_ids"], batch.members)


def form(expected: dict[str, Any]) -> Any:
    return PUBLISHED if expected["raw_pixels"] else replace(PUBLISHED, concatenated_videos="own_features")


@pytest.mark.parametrize("case", CASES)
def test_texts(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, case)
    tokenizer, captions = golden.model_of(encoder).tokenizer, golden.config()["captions"]
    limit = concatenated_text_limit(golden.option("max_text_tokens"), golden.option("concatenated_nums"))
    rows = [[row, *others] for row, others in enumerate(expected["concatenated_idxs"])]
    joined = [tokenizer.frame(join_tokens([tokenizer.ids(captions[i]) for i in row]), limit) for row in rows]
    assert torch.equal(golden.padded(tokenizer.pad(joined), limit), expected["input_ids"])
    assert torch.equal((expected["input_ids"] != 0).long(), expected["attention_mask"])


def token_step(tokens: Tensor, value: Tensor) -> int:
    """Every how many tokens were recorded: the name tells it of channels only. (rows, frames, tokens, channels) each."""
    count = tokens.shape[2]
    fitting = [k for k in range(1, count + 1) if len(range(0, count, k)) == value.shape[2]]
    return min(fitting, key=lambda k: float((tokens[:, :, ::k] - value).abs().max()))


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_videos(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, case)
    batch = joined_of(encoder, expected)
    assert batch.tokens is not None
    assert list(batch.tokens.shape) == expected["video_output_shape"]
    golden.same_checksums(batch.tokens, expected["video_output_stats"])
    golden.close(batch.tokens.mean((2, 3)), expected["video_output_frame_means"])
    golden.close(batch.tokens[:, :, 0], expected["video_output_frame_token0"])
    video_input = batch.model.video_input(batch.videos)
    golden.same_checksums(video_input, expected["video_input_stats"])
    for key in (key for key in expected if "_every_" in key):
        step, value = golden.number_in(key), expected[key]
        if key.startswith("video_input"):
            golden.close(video_input[:, ::step], value)
        else:
            tokens = batch.tokens[..., ::step]
            golden.close(tokens[:, :, :: token_step(tokens, value)], value)
    golden.close(batch.video_features, expected["feat_v"])
    golden.close(batch.text_features, expected["feat_t"])


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_matching(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, case)
    draws = RecordedDraws(negatives=[expected["neg_video_idx"], expected["neg_text_idx"]])
    golden.close(steps.matching_logits(joined_of(encoder, expected), draws, SHARE_OF_CONCATENATED), expected["itm_logits"])
    assert expected["itm_rows_used"] == expected["batch"] // SHARE_OF_CONCATENATED


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_logits(encoder: Encoder, case: str) -> None:
    expected = golden.record(encoder, case)
    batch = joined_of(encoder, expected)
    not_padding = batch.model.not_padding(batch.ids)
    for name, mask in (("mlm", not_padding), ("cap", batch.model.causal_mask(not_padding))):
        hidden, _ = batch.model.multimodal(expected[f"{name}_masked_input_ids"], mask, batch.memory)
        same_logits(batch.model, hidden, expected[f"{name}_logits"])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("trimmed", [False, True])
@torch.no_grad()
def test_losses(encoder: Encoder, case: str, trimmed: bool) -> None:
    """The published form, and ours (features with gradients, trimmed padding), which gives the same losses."""
    expected = golden.record(encoder, case)
    ids = expected["input_ids"]
    ids = ids[:, : int((ids != 0).sum(1).max())] if trimmed else ids
    draws = RecordedDraws(
        negatives=[expected["neg_video_idx"], expected["neg_text_idx"]],
        masks=[(expected[f"{name}_masked_input_ids"], expected[f"{name}_labels"]) for name in ("mlm", "cap")],
    )
    losses_of = StepLosses(
        golden.model_of(encoder),
        golden.settings(),
        behaviour=DEFAULT if trimmed else form(expected),
    )
    with recorded_arithmetic():
        losses = losses_of(concatenated(expected, ids), draws)
    assert draws.used_up()
    for name, published in LOSSES.items():
        assert float(losses[f"{name}_loss"]) == golden.loss(expected["losses"][published]), name
