import pytest
import torch
from torch import Tensor

from cosa.errors import UserError
from cosa.model import COSA, VideoFeatures
from cosa.model_config import ModelConfig
from tests.support import FAMILIES, Family, encoded, gradients, random_frames, tiny_config, tiny_model

MEMBERS = torch.tensor([[0, 2, 1], [1, 0, 3], [2, 3, 0], [3, 1, 2]])


def joined_pixels(frames: Tensor) -> Tensor:
    return torch.stack([torch.cat([frames[i] for i in row]) for row in MEMBERS.tolist()])


@pytest.mark.parametrize("family", FAMILIES)
def test_concatenated_features_equal_encoded_concatenated_pixels(family: Family) -> None:
    model, frames = tiny_model(family, frame_positions=6), random_frames(4, 2)
    features = model.encode_video(frames).concatenate(MEMBERS)
    expected = model.encode_video(joined_pixels(frames))
    assert features.projected.shape[:2] == (4, 6)
    torch.testing.assert_close(features.projected, expected.projected, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.video_contrastive(features), model.video_contrastive(expected), atol=1e-5, rtol=0)
    for pair, other in zip(model.video_memory(features).layers, model.video_memory(expected).layers, strict=True):
        torch.testing.assert_close(pair, other, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_their_gradients_are_equal_too(family: Family) -> None:
    model, frames, found = tiny_model(family, frame_positions=6), random_frames(4, 2), []
    for features in (model.encode_video(frames).concatenate(MEMBERS), model.encode_video(joined_pixels(frames))):
        model.zero_grad()
        memory = model.video_memory(features)
        loss = model.video_contrastive(features)[:, 0].sum() + sum(k.sin().sum() + v.cos().sum() for k, v in memory.layers)
        loss.backward()
        found.append(gradients(model.vision))
    assert found[0]
    for name, gradient in found[0].items():
        scale = gradient.abs().max()
        torch.testing.assert_close(found[1][name], gradient, atol=1e-4 * float(scale) + 1e-6, rtol=1e-3)


def test_gradients_reach_every_member_of_a_concatenated_video() -> None:
    features = VideoFeatures(torch.randn(4, 1, 3, 5, requires_grad=True), torch.randn(4, 1, 7, requires_grad=True))
    joined = features.concatenate(torch.tensor([[0, 2], [1, 2]]))
    assert joined.projected.shape == (2, 2, 3, 5)
    (joined.projected.sum() + joined.pooled.sum()).backward()
    assert features.projected.grad is not None
    assert features.pooled.grad is not None
    assert features.projected.grad[:, 0, 0, 0].tolist() == features.pooled.grad[:, 0, 0].tolist() == [1, 1, 2, 0]


def test_frames_follow_the_order_of_the_members() -> None:
    projected = torch.arange(8.0).view(4, 2, 1, 1)
    joined = VideoFeatures(projected, projected[:, :, 0]).concatenate(MEMBERS)
    assert joined.projected[0].flatten().tolist() == joined.pooled[0].flatten().tolist() == [0, 1, 4, 5, 2, 3]


@pytest.mark.parametrize("positions", [1, 4, 8])
def test_nearest_frame_embedding(positions: int) -> None:
    model = tiny_model(frame_positions=positions)
    for frames in range(1, 20):
        chosen = model.frame_embeddings(frames)
        nearest = torch.nn.functional.interpolate(model.frame_embedding.T[None], size=frames, mode="nearest")[0].T
        torch.testing.assert_close(chosen, nearest)
        indices = [i * positions // frames for i in range(frames)]
        torch.testing.assert_close(chosen, model.frame_embedding[indices])


@pytest.mark.parametrize("family", FAMILIES)
def test_video_memory_adds_the_frame_embedding_to_every_token_of_its_frame(family: Family) -> None:
    model, features = tiny_model(family), tiny_model(family).encode_video(random_frames(2, 3))
    memory = model.video_memory(features)
    flat = torch.cat([features.projected[:, i] + model.frame_embedding[i * 4 // 3] for i in range(3)], dim=1)
    attention = model.multimodal.layers[1].crossattention.self
    expected = attention.key(flat).unflatten(-1, (4, 8)).transpose(1, 2)
    torch.testing.assert_close(memory.layers[1][0], expected, atol=1e-5, rtol=0)


def test_contrastive_features_have_unit_length_and_ignore_padding() -> None:
    model = tiny_model()
    ids = model.tokenizer.batch(["a dog", "a man in the street at night"], 20)
    both = model.text_contrastive(ids)
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(model.text_contrastive(ids[:1, :4]), both[:1], atol=1e-6, rtol=0)
    video = model.video_contrastive(model.encode_video(random_frames(3, 2)))
    torch.testing.assert_close(video.norm(dim=1), torch.ones(3))


def test_causal_mask() -> None:
    mask = COSA.causal_mask(torch.tensor([[True, True, False], [True, True, True]]))
    assert mask.int().tolist() == [[[1, 0, 0], [1, 1, 0], [1, 1, 0]], [[1, 0, 0], [1, 1, 0], [1, 1, 1]]]


def test_a_batch_of_one_worker_holds_all_videos() -> None:
    batch = encoded(tiny_model(), 4)
    assert len(batch.all_videos) == len(batch.videos) == 4
    to_video, to_text = batch.similarities
    torch.testing.assert_close(to_video, to_text.T)
    torch.testing.assert_close(to_video, batch.text_features @ batch.video_features.T / batch.model.temperature)
    joined = batch.concatenated(batch.ids, MEMBERS)
    assert joined.videos.projected.shape[1] == 6
    assert joined.identities is batch.identities


def test_frame_positions_are_needed() -> None:
    with pytest.raises(ValueError, match="frame_positions is not set"):
        COSA(tiny_config().model_copy(update={"frame_positions": None}))
    assert ModelConfig().frame_positions is None


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_covers_both_encoders(family: Family) -> None:
    model = tiny_model(family)
    model.set_gradient_checkpointing(True)
    assert model.multimodal.gradient_checkpointing
    assert model.vision.backbone.patch_embed is not None
    model.set_gradient_checkpointing(False)
    assert not model.multimodal.gradient_checkpointing


def test_frames_of_another_resolution_are_refused() -> None:
    with pytest.raises(UserError, match="frames of 48 x 32 pixels, but the model's resolution is 32"):
        tiny_model("swin").encode_video(torch.zeros(1, 2, 3, 48, 32, dtype=torch.uint8))
