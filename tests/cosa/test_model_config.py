import pytest
from pydantic import ValidationError

from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.model_config import ModelConfig
from tests.support import tiny_config


@pytest.mark.parametrize(
    ("encoder", "family", "stochastic_depth"),
    [
        ("swin_base_patch4_window7_224", "swin", 0.2),
        ("swin_base_patch4_window7_224.ms_in22k", "swin", 0.2),
        ("vit_large_patch14_clip_quickgelu_336.openai", "clip", 0.0),
    ],
)
def test_family_of_an_encoder(encoder: str, family: str, stochastic_depth: float) -> None:
    config = VisionConfig(encoder=encoder)
    assert config.family == family
    assert config.stochastic_depth == stochastic_depth
    assert VisionConfig(encoder=encoder, drop_path_rate=0.1).stochastic_depth == 0.1
    assert VisionConfig(encoder=encoder, drop_path_rate=0.0).stochastic_depth == 0.0


@pytest.mark.parametrize("encoder", ["resnet50", "vit_base_patch16_224", "swinv2_tiny_window8_256", "resnet50_clip_gap"])
def test_other_encoders_are_refused(encoder: str) -> None:
    with pytest.raises(ValidationError, match="neither a Swin nor a CLIP vision transformer"):
        VisionConfig(encoder=encoder)


def test_sizes_of_the_other_family_are_refused() -> None:
    with pytest.raises(ValidationError, match="depth of a Swin is a list"):
        VisionConfig(depth=2)
    with pytest.raises(ValidationError, match="depth of a Swin is a list"):
        VisionConfig(encoder="vit_base_patch16_clip_quickgelu_224", depth=(2, 2))
    with pytest.raises(ValidationError, match="window_size belongs to Swin"):
        VisionConfig(encoder="vit_base_patch16_clip_quickgelu_224", window_size=7)


def test_unknown_keys_odd_heads_and_changes_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        ModelConfig.model_validate({"vison": {}})
    with pytest.raises(ValidationError, match="not a multiple of num_attention_heads"):
        TextConfig(hidden_size=30, num_attention_heads=4)
    with pytest.raises(ValidationError, match="frozen"):
        TextConfig().hidden_size = 5  # type: ignore[misc]


@pytest.mark.parametrize("family", ["swin", "clip"])
def test_saved_and_read_again(family: str) -> None:
    config = tiny_config(family)  # type: ignore[arg-type]
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
