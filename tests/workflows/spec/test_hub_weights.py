"""Sizes that the hub's weights do not have are mistakes of the spec."""

from pathlib import Path

import pytest
import timm

from cosa.encoders.vision_checks import sizes_of_weights
from cosa.encoders.vision_config import VisionConfig
from tests.workflows.spec.test_images import problems

PLAIN = ("model.vision.encoder=swin_tiny_patch4_window7_224", "model.vision.resolution=224")
BERT = ("model.text.pretrained=true",)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("model.vision.pretrained=true", "model.vision.window_size=8", "model.vision.embed_dim=96"), []),
        (
            ("model.vision.pretrained=true", "model.vision.embed_dim=64", "model.vision.depth=[1, 1]"),
            [
                "model.vision.pretrained: the weights of 'swin_tiny_patch4_window7_224' have embed_dim: 96, depth: [2, 2, 6, 2]"
                "; leave these fields out, or set pretrained: false"
            ],
        ),
        (("model.vision.embed_dim=64",), []),
        (BERT, []),
        (
            (*BERT, "model.text.hidden_size=128", "model.text.num_attention_heads=4"),
            [
                "model.text.pretrained: the weights of 'bert-base-uncased' have hidden_size: 768, num_attention_heads: 12; "
                "give these, or set pretrained: false"
            ],
        ),
        ((*BERT, "model.text.encoder=google/bert_uncased_L-2_H-128_A-2", "model.text.hidden_size=120"), []),
    ],
)
def test_sizes_of_weights(overrides: tuple[str, ...], says: list[str], tmp_path: Path) -> None:
    assert problems(tmp_path, *PLAIN, *overrides) == says
    assert problems(tmp_path, *PLAIN, *overrides, "stages.start=", "stages.tuned.init_from=./saved") == [], "no model is built"


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_base_patch16_clip_224.openai", "vit_tiny_patch16_224"])
def test_the_source_of_timm_says_what_timm_builds(name: str) -> None:
    is_staged = "swin" in name
    wrong = {"depth": (1, 1), "num_heads": (1, 1)} if is_staged else {"depth": 1, "num_heads": 1}
    found = sizes_of_weights(VisionConfig.model_validate({"encoder": name, "pretrained": True, "embed_dim": 3, **wrong}))
    built = timm.create_model(name, num_classes=0)
    stages = [layer.blocks for layer in built.layers] if is_staged else [built.blocks]
    depth, heads = tuple(map(len, stages)), tuple(blocks[0].attn.num_heads for blocks in stages)
    assert found == {
        "embed_dim": built.embed_dim,
        "depth": depth if is_staged else depth[0],
        "num_heads": heads if is_staged else heads[0],
    }
