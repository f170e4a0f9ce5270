"""Swin away from its native resolution, against transformers' own implementation with the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor
from transformers import SwinConfig, SwinModel

from cosa.checkpoints.pretrained import load_vision
from cosa.encoders.positions import fit_positions
from cosa.encoders.swin_blocks import SwinBlock
from cosa.encoders.vision import VisionEncoder
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError
from tests.support import random_frames

SIZES = {"patch_size": 4, "embed_dim": 16, "depth": (2, 2, 2, 2), "num_heads": (1, 2, 2, 4), "window_size": 7}


def encoder(resolution: int) -> VisionEncoder:
    torch.manual_seed(0)
    config = VisionConfig.model_validate({"encoder": "swin_base_patch4_window7_224", "resolution": resolution, **SIZES})
    made = VisionEncoder(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def reference(ours: VisionEncoder, resolution: int) -> SwinModel:
    """transformers' Swin with the weights of ours."""
    config = SwinConfig(
        image_size=resolution, patch_size=4, embed_dim=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 4], window_size=7,
    )  # fmt: skip
    model = SwinModel(config, add_pooling_layer=False).eval()
    found = {theirs: value for name, value in ours.backbone.state_dict().items() for theirs, value in renamed(name, value)}
    missing, unexpected = model.load_state_dict(found, strict=False)
    assert not unexpected
    assert not [name for name in missing if "relative_position_index" not in name]
    return model


def renamed(name: str, value: Tensor) -> list[tuple[str, Tensor]]:
    """transformers' name of a weight; queries, keys and values stand apart there."""
    if name.startswith("patch_embed."):
        part = {"proj": "patch_embeddings.projection", "norm": "norm"}[name.split(".")[1]]
        return [(f"embeddings.{part}.{name.split('.')[2]}", value)]
    if name.startswith("norm."):
        return [(f"layernorm.{name.split('.')[1]}", value)]
    _, stage, rest = name.split(".", 2)
    if rest.startswith("downsample."):
        return [(f"encoder.layers.{int(stage) - 1}.{rest}", value)]
    for ours, theirs in {
        "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.o_proj",
        "attn.relative_position_bias_table": "attention.relative_position_bias.relative_position_bias_table",
    }.items():  # fmt: skip
        rest = rest.replace(ours, theirs)
    if "attn.qkv" in rest:
        parts = zip("qkv", value.chunk(3), strict=True)
        return [(f"encoder.layers.{stage}.{rest.replace('attn.qkv', f'attention.{part}_proj')}", v) for part, v in parts]
    return [(f"encoder.layers.{stage}.{rest}", value)]


@pytest.mark.parametrize("resolution", [224, 288, 384, 480])
@torch.no_grad()
def test_equals_another_implementation(resolution: int) -> None:
    ours = encoder(resolution)
    frames = random_frames(1, 1, resolution=resolution)[0]
    pixels = (frames / 255 - ours.mean) / ours.std
    expected = reference(ours, resolution)(pixel_values=pixels).last_hidden_state
    found = ours(frames)
    assert found.shape == (1, (resolution // 32) ** 2, 128)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)


def test_without_padding_nothing_differs_from_timm() -> None:
    ours = encoder(224)
    blocks = [module for module in ours.modules() if isinstance(module, SwinTransformerBlock)]
    assert len(blocks) == 8
    assert all(type(block) is SwinBlock for block in blocks)
    frames = random_frames(2, 1, resolution=224)[:, 0]
    with torch.no_grad():
        found = ours(frames)
        for block in blocks:
            block.__class__ = SwinTransformerBlock
        assert torch.equal(ours(frames), found)


# -- resolutions ------------------------------------------------------------------------------------------------------


class Renamed(SwinTransformerBlock):
    """A block that computes as timm's does, and lacks something that ours uses."""

    def __init__(self, *inputs: Any, **options: Any) -> None:
        super().__init__(*inputs, **options)
        self.first_norm = self.norm1
        del self.norm1

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path1(self._attn(self.first_norm(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))


def test_blocks_that_lack_something_stay_where_they_are_right(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = encoder(224)
    monkeypatch.setattr("timm.models.swin_transformer.SwinTransformerBlock", Renamed)
    found = encoder(224)
    assert [type(block) for block in found.family.blocks(found.backbone)] == [Renamed] * 8
    [message] = caplog.messages
    assert "builds 'swin_base_patch4_window7_224' without norm1: its own blocks are used" in message
    weights = {name.replace("norm1", "first_norm"): value for name, value in expected.backbone.state_dict().items()}
    found.backbone.load_state_dict(weights)
    frames = random_frames(1, 1, resolution=224)[0]
    with torch.no_grad():
        torch.testing.assert_close(found(frames), expected(frames), atol=1e-5, rtol=1e-5)


def test_blocks_that_lack_something_are_refused_where_they_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.models.swin_transformer.SwinTransformerBlock", Renamed)
    with pytest.raises(UserError, match=r"without norm1, which padding to full windows needs at 384 pixels; give a resolution"):
        encoder(384)


@torch.no_grad()
def test_opposite_edges_do_not_see_each_other() -> None:
    """One stage: what the last rows show reaches no token of the first ones."""
    sizes = {**SIZES, "depth": (2,), "num_heads": (1,)}
    config = VisionConfig.model_validate({"encoder": "swin_base_patch4_window7_224", "resolution": 104, **sizes})
    torch.manual_seed(0)
    made = VisionEncoder(config).eval()
    frames = random_frames(1, 1, resolution=104)[0]
    changed = frames.clone()
    changed[..., -8:, :] = 255 - changed[..., -8:, :]
    first, second = (made(images).unflatten(1, (26, 26)) for images in (frames, changed))
    moved = (first - second).abs().amax((0, 2, 3)) > 1e-5  # (26,) rows of tokens
    assert moved[-2:].all()
    assert not moved[:10].any()


def test_weights_of_the_native_resolution_serve_others(tmp_path: Path) -> None:
    native = encoder(224)
    torch.save(native.backbone.state_dict(), tmp_path / "swin.pth")
    for resolution in (384, 480):
        config = VisionConfig.model_validate(
            {
                "encoder": "swin_base_patch4_window7_224",
                "resolution": resolution,
                "pretrained": str(tmp_path / "swin.pth"),
                **SIZES,
            }
        )
        other = VisionEncoder(config)
        load_vision(other)
        weights = dict(native.backbone.state_dict())
        assert fit_positions(other.backbone.state_dict(), weights) == []
        for name, value in other.backbone.state_dict().items():
            assert torch.equal(value, weights[name]), name
