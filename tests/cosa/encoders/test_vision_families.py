"""What families say of themselves, and that nothing but a table knows them."""

import subprocess
import sys
from typing import Any

import pytest
import timm
import torch
from pydantic import ValidationError
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from cosa.encoders.plain_vit import PlainVit
from cosa.encoders.vision import VisionEncoder
from cosa.encoders.vision_config import VisionConfig
from cosa.encoders.vision_families import VISION_FAMILIES, family_of
from cosa.encoders.vision_family import SIZES, VisionFamily
from tests.support import VISION_SIZES, random_frames, vision_config


@pytest.mark.parametrize(
    ("encoder", "title"),
    [
        ("swin_base_patch4_window7_224", "Swin"),
        ("swin_base_patch4_window7_224.ms_in22k", "Swin"),
        ("vit_large_patch14_clip_quickgelu_336.openai", "CLIP"),
        ("vit_so400m_patch14_siglip_384.webli", "SigLIP"),
        ("vit_base_patch16_siglip_gap_224", "SigLIP"),
        ("vit_base_patch16_224.augreg_in21k", "ViT"),
        ("vit_small_patch14_reg4_dinov2.lvd142m", "ViT"),
        ("vit_small_patch16_dinov3", "ViT"),
    ],
)
def test_family_of_an_encoder(encoder: str, title: str) -> None:
    assert family_of(encoder).title == VisionConfig(encoder=encoder).family.title == title


@pytest.mark.parametrize("family", VISION_FAMILIES.values(), ids=list(VISION_FAMILIES))
def test_a_family_names_an_encoder_that_timm_has(family: VisionFamily) -> None:
    assert timm.is_model(family.example)
    assert family_of(family.example) is family
    assert set(family.sizes) <= set(SIZES) <= set(VisionConfig.model_fields)


def test_stochastic_depth_is_the_familys_unless_given() -> None:
    assert [VisionConfig(encoder=family.example).stochastic_depth for family in VISION_FAMILIES.values()] == [0.2, 0, 0, 0]
    assert VisionConfig(drop_path_rate=0.0).stochastic_depth == 0.0
    assert VisionConfig(encoder="vit_tiny_patch16_224", drop_path_rate=0.1).stochastic_depth == 0.1


@pytest.mark.parametrize("encoder", ["resnet50", "swinv2_tiny_window8_256", "resnet50_clip_gap", "deit_tiny_patch16_224"])
def test_an_unknown_encoder_is_answered_by_what_there_is(encoder: str) -> None:
    with pytest.raises(ValidationError) as caught:
        VisionConfig(encoder=encoder)
    for family in VISION_FAMILIES.values():
        assert family.title in str(caught.value)
        assert family.example in str(caught.value)


@pytest.mark.parametrize(
    ("encoder", "sizes", "message"),
    [
        ("swin_tiny_patch4_window7_224", {"depth": 2}, "depth of a Swin encoder is a list"),
        ("swin_tiny_patch4_window7_224", {"depth": (1, 1), "num_heads": (1,)}, "lists of one length"),
        ("vit_base_patch16_clip_quickgelu_224", {"depth": (2, 2)}, "depth of a CLIP encoder is one number"),
        ("vit_base_patch16_siglip_224", {"num_heads": (2, 2)}, "num_heads of a SigLIP encoder is one number"),
        ("vit_base_patch16_224", {"window_size": 7}, "window_size is no size of a ViT encoder"),
    ],
)
def test_sizes_of_another_family_are_refused(encoder: str, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        VisionConfig(encoder=encoder, **sizes)


def test_specs_are_checked_without_torch() -> None:
    code = "import sys, cosa.model_config, cosa.encoders.vision_families; print({'torch', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- built ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tokens", "mean", "std"),
    [
        ("swin", 16, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
        ("clip", 1 + 4, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
        ("siglip", 4, (0.5,) * 3, (0.5,) * 3),
        ("siglip gap", 4, (0.5,) * 3, (0.5,) * 3),
        ("augreg", 1 + 4, (0.5,) * 3, (0.5,) * 3),
        ("dinov2", 1 + 4, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
        ("dinov2 with registers", 5 + 4, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
        ("dinov3", 5 + 4, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    ],
)
@torch.no_grad()
def test_tokens_statistics_and_pooling(name: str, tokens: int, mean: tuple[float], std: tuple[float]) -> None:
    """What timm itself gives for an image is the pooled vector."""
    encoder, images = VisionEncoder(vision_config(name)).eval(), random_frames(2, 3)
    found = encoder(images.flatten(0, 1)).unflatten(0, (2, 3))
    dim = encoder.output_dim
    assert found.shape == (2, 3, tokens, dim)
    pixels = (images.flatten(0, 1) / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    pooled = encoder.pool(found)
    assert pooled.shape == (2, 3, dim)
    torch.testing.assert_close(pooled.flatten(0, 1), encoder.backbone(pixels), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", VISION_SIZES)
def test_blocks_and_weights_that_only_pool(name: str) -> None:
    encoder = VisionEncoder(vision_config(name))
    assert len(list(encoder.family.blocks(encoder.backbone))) == 2
    encoder(random_frames(1, 2)[0]).square().sum().backward()
    without = {name for name, parameter in encoder.named_parameters() if parameter.grad is None}
    assert without == {name for name, _ in encoder.named_parameters() if name.startswith(encoder.pooling_weights)}
    assert bool(without) == (name == "siglip")


# -- families from outside --------------------------------------------------------------------------------------------


def test_a_family_that_leaves_something_out_cannot_be_made() -> None:
    class Forgetful(PlainVit):
        names = ("deit_*",)

    assert Forgetful()  # all that it does not say is a plain ViT's

    class Empty(VisionFamily):
        title = "empty"

    with pytest.raises(TypeError, match=r"abstract .*blocks.*names.*pool"):
        Empty()  # type: ignore[abstract]


def test_the_longest_pattern_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tiny(PlainVit):
        title = "tiny"
        names = ("vit_tiny_patch16_2*",)

    monkeypatch.setitem(VISION_FAMILIES, "tiny", Tiny())
    assert family_of("vit_tiny_patch16_224").title == "tiny"
    assert family_of("vit_tiny_patch16_384").title == "ViT"
