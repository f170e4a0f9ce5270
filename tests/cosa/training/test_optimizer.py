import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosa.training.freezing import freeze_unused
from cosa.training.optimizer import build_optimizer, schedule, set_learning_rate
from cosa.training.training_settings import OptimizerSettings
from tests.support import FAMILIES, Family, tiny_model


def test_frozen_weights_have_no_place_in_the_optimizer() -> None:
    model = tiny_model()
    freeze_unused(model, ["itc"])
    optimizer = build_optimizer(model, OptimizerSettings())
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


@pytest.mark.parametrize("family", [*FAMILIES, "siglip", "dinov2 with registers"])
def test_weight_decay_on_matrices_only(family: str) -> None:
    model = tiny_model(family)
    optimizer = build_optimizer(model, OptimizerSettings(weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert set(decay.values()) == {0.0, 0.3}
    for name, parameter in model.named_parameters():
        positions = any(part in name for part in ("position", "pos_embed", "frame_embedding", "_token", "latent"))
        expected = 0.0 if parameter.dim() < 2 or positions else 0.3
        assert decay[id(parameter)] == expected, name
    assert decay[id(model.multimodal.bert.embeddings.word_embeddings.weight)] == 0.3


@pytest.mark.parametrize(
    ("family", "pretrained", "chosen", "expected"),
    [
        ("swin", False, None, 1e-4),
        ("swin", True, None, 1e-4),
        ("clip", False, None, 1e-4),
        ("clip", True, None, 5e-7),
        ("clip", "weights.pth", None, 5e-7),
        ("clip", True, 3e-6, 3e-6),
        ("swin", False, 3e-6, 3e-6),
    ],
)
def test_learning_rate_of_the_vision_encoder(
    family: Family, pretrained: bool | str, chosen: float | None, expected: float
) -> None:
    model = tiny_model(family)
    vision = model.config.vision.model_copy(update={"pretrained": pretrained})
    model.config = model.config.model_copy(update={"vision": vision})
    optimizer = build_optimizer(model, OptimizerSettings(vision_learning_rate=chosen))
    mine = {id(parameter) for parameter in model.vision.parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["peak_learning_rate"] == (expected if id(parameter) in mine else 1e-4)


@given(st.floats(0, 1), st.floats(0, 0.99))
def test_schedule_is_a_triangle(progress: float, warmup: float) -> None:
    share = schedule(progress, warmup)
    assert 0 <= share <= 1
    expected = progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)
    assert share == pytest.approx(expected)


def test_rates_of_a_run() -> None:
    model = tiny_model("clip")
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=1.0, vision_learning_rate=0.1))
    shares = [set_learning_rate(optimizer, step, 9, OptimizerSettings(warmup_ratio=0.2)) for step in range(9)]
    assert shares == pytest.approx([0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    assert {round(group["lr"], 9) for group in optimizer.param_groups} == {0.125, 0.0125}
    assert set_learning_rate(optimizer, 0, 9, OptimizerSettings(warmup_ratio=0.0)) == pytest.approx(0.9)
