import pytest
import torch
from torch import Tensor

from benchmarks import plain
from cosa.encoders.kv_cache import KVCache
from cosa.model import COSA
from tests.support import CAPTIONS, gradients, tiny_model


@pytest.fixture(scope="module")
def model() -> COSA:
    return tiny_model(seed=3)


@pytest.fixture(scope="module")
def ids(model: COSA) -> Tensor:
    return model.tokenizer.batch(CAPTIONS[:6], 12)


VIDEO = torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("with_video", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_like_the_model_of_transformers(model: COSA, ids: Tensor, with_video: bool, causal: bool) -> None:
    encoder, visible = model.multimodal, model.not_padding(ids)
    mask = model.causal_mask(visible) if causal else visible
    memory = encoder.video_memory(VIDEO) if with_video else None
    hidden, _ = encoder(ids, mask, memory)
    with torch.no_grad():
        expected = plain.encode(model, ids, mask, VIDEO.repeat_interleave(2, 0) if with_video else None)
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=0)
    expected_logits = encoder.cls(expected)
    torch.testing.assert_close(encoder.language_logits(hidden), expected_logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("group", [1, 2, 3, 6])
def test_rows_that_share_a_video_equal_rows_with_a_copy_each(model: COSA, ids: Tensor, group: int) -> None:
    encoder, visible = model.multimodal, model.not_padding(ids)
    memory = encoder.video_memory(VIDEO[:1].expand(6 // group, -1, -1) + torch.arange(6 // group)[:, None, None])
    shared, _ = encoder(ids, visible, memory)
    for row in range(6):
        alone, _ = encoder(ids[row : row + 1], visible[row : row + 1], memory.select(torch.tensor([row // group])))
        torch.testing.assert_close(shared[row], alone[0], atol=1e-5, rtol=0)


def test_selected_memory_is_that_of_the_selected_videos(model: COSA) -> None:
    order = torch.tensor([2, 0, 2])
    chosen = model.multimodal.video_memory(VIDEO).select(order)
    expected = model.multimodal.video_memory(VIDEO[order])
    assert chosen.videos == 3
    for pair, other in zip(chosen.layers, expected.layers, strict=True):
        torch.testing.assert_close(pair, other)


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_going_on_from_the_past_equals_one_pass(model: COSA, ids: Tensor, cut: int) -> None:
    encoder, visible = model.multimodal, model.not_padding(ids)
    mask, memory = model.causal_mask(visible), encoder.video_memory(VIDEO)
    full, keys_values = encoder(ids, mask, memory)
    first, past = encoder(ids[:, :cut], mask[:, :cut, :cut], memory)
    cache = KVCache(ids.shape[1] + 3, past)
    rest, new = encoder(ids[:, cut:], mask[:, cut:], memory, positions=torch.arange(cut, ids.shape[1]), cache=cache)
    torch.testing.assert_close(torch.cat([first, rest], 1), full, atol=1e-5, rtol=0)
    for (keys, values), (k1, v1), (k2, v2) in zip(keys_values, past, new, strict=True):
        torch.testing.assert_close(torch.cat([k1, k2], 2), keys, atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.cat([v1, v2], 2), values, atol=1e-5, rtol=0)


def test_padding_changes_nothing(model: COSA, ids: Tensor) -> None:
    longer = torch.nn.functional.pad(ids, (0, 5))
    short, _ = model.multimodal(ids, model.not_padding(ids))
    long, _ = model.multimodal(longer, model.not_padding(longer))
    torch.testing.assert_close(long[:, : ids.shape[1]], short, atol=1e-5, rtol=0)


def test_positions_of_each_row(model: COSA, ids: Tensor) -> None:
    visible = model.not_padding(ids)
    shifted, _ = model.multimodal(ids, visible, positions=torch.arange(ids.shape[1]).expand(6, -1) + 3)
    same, _ = model.multimodal(ids, visible, positions=torch.arange(3, ids.shape[1] + 3))
    plain, _ = model.multimodal(ids, visible)
    torch.testing.assert_close(shifted, same)
    assert not torch.allclose(shifted, plain, atol=1e-2)


def test_gradient_checkpointing_changes_no_gradient(ids: Tensor) -> None:
    model = tiny_model(dropout=0.3).train()
    found = []
    for enabled in (False, True):
        model.multimodal.gradient_checkpointing = enabled
        model.zero_grad()
        torch.manual_seed(5)
        hidden, _ = model.multimodal(ids, model.not_padding(ids), model.multimodal.video_memory(VIDEO))
        hidden.square().sum().backward()
        found.append(gradients(model))
    assert found[0].keys() == found[1].keys()
    torch.testing.assert_close(found[0], found[1])


def test_the_language_head_is_tied_to_the_word_embeddings(model: COSA) -> None:
    encoder = model.multimodal
    assert encoder.cls.predictions.decoder.weight is encoder.bert.embeddings.word_embeddings.weight
    assert encoder.cls.predictions.decoder.bias is encoder.cls.predictions.bias
