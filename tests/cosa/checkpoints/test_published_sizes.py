"""Published sizes in full: their configuration follows from shapes alone. Meta tensors: no memory, no weights."""

from pathlib import Path

import pytest
import torch

from cosa.checkpoints.published_sizes import config_of
from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.model import COSA
from cosa.model_config import ModelConfig
from tests.cosa.checkpoints.published import published_state

BASE = TextConfig()
LARGE = TextConfig(
    encoder="bert-large-uncased", hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
)
ENCODERS = {
    "swin-b": (VisionConfig(), {"embed_dim": 128, "depth": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32), "window_size": 7}),
    "clip-b16": (
        VisionConfig(encoder="vit_base_patch16_clip_quickgelu_224"),
        {"embed_dim": 768, "depth": 12, "num_heads": 12, "patch_size": 16},
    ),
    "clip-l14": (
        VisionConfig(encoder="vit_large_patch14_clip_quickgelu_336", resolution=224),
        {"embed_dim": 1024, "depth": 24, "num_heads": 16, "patch_size": 14},
    ),
    "clip-l14-336": (
        VisionConfig(encoder="vit_large_patch14_clip_quickgelu_336", resolution=336),
        {"embed_dim": 1024, "depth": 24, "num_heads": 16, "patch_size": 14},
    ),
}


@pytest.mark.parametrize("text", [BASE, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("name", ENCODERS)
def test_published_sizes(name: str, text: TextConfig) -> None:
    vision, expected = ENCODERS[name]
    with torch.device("meta"):
        model = COSA(ModelConfig(vision=vision, text=text, frame_positions=32))
    state = published_state(model)
    found = config_of(state, Path("model.pt"), resolution=vision.resolution)
    assert found.text == text
    assert found.frame_positions == 32
    assert found.vision.resolution == vision.resolution
    for field, value in expected.items():
        assert getattr(found.vision, field) == value
    with torch.device("meta"):
        again = COSA(found)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
