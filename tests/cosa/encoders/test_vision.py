from typing import Any

import pytest
import timm
import torch

from cosa.encoders.vision import VisionEncoder
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError
from tests.support import FAMILIES, Family, gradients, random_frames, vision_config


@pytest.mark.parametrize(("family", "tokens", "dim"), [("swin", 16, 16), ("clip", 5, 16)])
def test_all_tokens_after_the_last_norm(family: Family, tokens: int, dim: int) -> None:
    encoder = VisionEncoder(vision_config(family)).eval()
    out = encoder(random_frames(1, 3)[0])
    assert out.shape == (3, tokens, dim)
    assert encoder.output_dim == dim
    torch.testing.assert_close(out.mean(-1), torch.zeros(3, tokens), atol=1e-5, rtol=0)
    expected = out[:, 0] if family == "clip" else out.mean(1)
    torch.testing.assert_close(encoder.pool(out), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_are_normalised_on_the_way(family: Family) -> None:
    encoder = VisionEncoder(vision_config(family)).eval()
    frames = random_frames(1, 2)[0]
    mean, std = (torch.tensor(values)[:, None, None] for values in encoder.family.pixel_statistics(encoder.backbone))
    torch.testing.assert_close(encoder(frames), encoder((frames / 255 - mean) / std))
    assert not {"mean", "std"} & set(encoder.state_dict())


@pytest.mark.parametrize("family", FAMILIES)
def test_stochastic_depth_only_in_a_training_swin(family: Family) -> None:
    frames = random_frames(1, 64)[0]
    encoder = VisionEncoder(vision_config(family, drop_path_rate=0.5)).train()
    assert not torch.equal(encoder(frames), encoder(frames))
    published = VisionEncoder(vision_config(family)).train()
    assert torch.equal(published(frames), published(frames)) is (family == "clip")


def test_frozen_weights_get_no_gradient() -> None:
    assert not any(parameter.requires_grad for parameter in VisionEncoder(vision_config("swin", frozen=True)).parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_changes_no_gradient(family: Family) -> None:
    encoder, frames, found = VisionEncoder(vision_config(family)).train(), random_frames(1, 2)[0], []
    for enabled in (False, True):
        encoder.backbone.set_grad_checkpointing(enabled)
        encoder.zero_grad()
        torch.manual_seed(1)
        encoder(frames).square()[:, 0, :3].sum().backward()
        found.append(gradients(encoder))
    assert len(found[0]) == len(list(encoder.parameters())) == len(found[1])
    torch.testing.assert_close(found[0], found[1])


# -- names and sizes --------------------------------------------------------------------------------------------------


def test_published_encoders_exist_in_timm() -> None:
    for encoder in (
        "swin_base_patch4_window7_224.ms_in22k",
        "vit_base_patch16_clip_quickgelu_224.openai",
        "vit_large_patch14_clip_quickgelu_336.openai",
    ):
        assert timm.is_model(encoder)
        assert encoder in timm.list_pretrained()


def test_a_tag_changes_nothing_without_pretrained_weights() -> None:
    config = vision_config("swin", encoder="swin_tiny_patch4_window7_224.ms_in22k")
    assert VisionEncoder(config).output_dim == 16


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("swin_nonsense", "timm has no model 'swin_nonsense'"),
        ("swin_base_patch4_window7_224.in22k", "has no tag 'in22k'; its tags are .*ms_in22k"),
        ("vit_medium_patch16_clip_224.openai", "has no tag 'openai'; "),
    ],
)
def test_unknown_names(encoder: str, message: str) -> None:
    for pretrained in (False, True):
        with pytest.raises(UserError, match=message):
            VisionEncoder(VisionConfig(encoder=encoder, pretrained=pretrained))


@pytest.mark.parametrize(("family", "changes"), [("swin", {"num_heads": 2}), ("clip", {"num_heads": 3})])
def test_impossible_sizes(family: Family, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="timm cannot build"):
        VisionEncoder(vision_config(family, **changes))


@pytest.mark.parametrize(("family", "resolution", "advice"), [("swin", 33, "give 32 or 36"), ("clip", 40, "give 32 or 48")])
def test_resolutions_that_patches_do_not_divide(family: Family, resolution: int, advice: str) -> None:
    with pytest.raises(UserError, match=advice):
        VisionEncoder(vision_config(family, resolution=resolution))


@pytest.mark.parametrize("resolution", [16, 48, 80, 112])
def test_a_clip_encoder_at_any_multiple_of_its_patches(resolution: int) -> None:
    encoder = VisionEncoder(vision_config("clip", resolution=resolution)).eval()
    assert encoder(random_frames(1, 2, resolution=resolution)[0]).shape == (2, 1 + (resolution // 16) ** 2, 16)
