"""The published preset: a choice in every field, described in the docs, and what it changes in small."""

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosa.behaviour import BEHAVIOURS, DEFAULT, PUBLISHED, Behaviour
from cosa.data.concatenation import draw_partners
from cosa.draws import Draws
from cosa.evaluation.video_ranking import evaluate_retrieval
from cosa.objectives.matching import negative_weights
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.objectives.self_critical import reference_ids
from cosa.training.losses import StepLosses
from cosa.training.optimizer import build_optimizer, schedule, set_learning_rate
from cosa.training.published_adamw import PublishedAdamW
from cosa.training.training_settings import OptimizerSettings
from tests.cosa.evaluation.test_video_ranking import ENTRIES
from tests.cosa.training.test_losses import batch_of
from tests.cosa.without_private import without
from tests.support import encoded, gradients, random_clips, tiny_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "deviations.md"


def test_the_preset_chooses_otherwise_in_every_field() -> None:
    for field in fields(Behaviour):
        assert getattr(PUBLISHED, field.name) != getattr(DEFAULT, field.name), field.name
    assert BEHAVIOURS == {"default": DEFAULT, "published": PUBLISHED}


def test_every_field_is_documented_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [field.name for field in fields(Behaviour)]
    for field in fields(Behaviour):
        assert f"{field.name}:" in (Behaviour.__doc__ or "")


def run(behaviour: Behaviour, objectives: tuple[str, ...], rows: int = 6) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Losses and gradients of a step without dropout, with the same draws every time."""
    model = tiny_model(dropout=0.0)
    losses = StepLosses(model, ObjectiveSettings(), behaviour=behaviour)(
        batch_of(objectives, rows), Draws(torch.Generator().manual_seed(0))
    )
    torch.stack(list(losses.values())).sum().backward()
    return {name: float(value.detach()) for name, value in losses.items()}, gradients(model)


ALL = ("itc", "itm", "citc", "citm", "cmlm", "ccap")
FREE = replace(DEFAULT, same_media_negatives=True)


@pytest.mark.parametrize("form", ["features", "own_features", "pixels"])
@pytest.mark.parametrize("constant_keys", [False, True])
def test_all_forms_of_concatenation_give_the_same_losses(form: str, constant_keys: bool) -> None:
    expected, _ = run(FREE, ALL)
    losses, _ = run(replace(FREE, concatenated_videos=form, constant_keys=constant_keys), ALL)  # type: ignore[arg-type]
    assert losses == pytest.approx(expected, rel=1e-5)


def test_features_and_pixels_give_the_same_gradients() -> None:
    (_, features), (_, joined) = (run(replace(FREE, concatenated_videos=form), ALL) for form in ("features", "pixels"))  # type: ignore[arg-type]
    torch.testing.assert_close(features, joined, atol=1e-4, rtol=1e-3)


def test_own_features_give_the_image_encoder_less_gradient() -> None:
    (_, features), (_, own) = (run(replace(FREE, concatenated_videos=form), ("ccap",)) for form in ("features", "own_features"))  # type: ignore[arg-type]
    name = "vision.backbone.patch_embed.proj.weight"
    assert not torch.allclose(features[name], own[name], rtol=1e-3)
    torch.testing.assert_close(features["projection.0.weight"], own["projection.0.weight"], atol=1e-4, rtol=1e-3)


def test_constant_keys_halve_the_contrastive_gradient() -> None:
    """Each side is a query once: with keys as constants only that half reaches it."""
    model = tiny_model()
    free, constant = encoded(model, 4), replace(encoded(model, 4), behaviour=PUBLISHED)
    weights = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for batch in (free, constant):
        texts, videos = batch.text_features, batch.video_features
        found.append(torch.autograd.grad((batch.similarities[0] * weights).sum(), [texts, videos], allow_unused=True))
    assert torch.allclose(found[0][0], found[1][0])
    assert found[0][1] is not None
    assert found[1][1] is None


def test_a_sample_may_be_joined_with_itself() -> None:
    generator = np.random.default_rng(0)
    drawn = np.array([draw_partners(4, 2, 3, generator, with_self=True) for _ in range(200)])
    assert (drawn == 2).any(axis=1).mean() == pytest.approx(0.75, abs=0.1)
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    assert set(draw_partners(3, 1, 3, generator, with_self=True)) == {0, 1, 2}


def test_other_captions_of_a_video_may_be_negatives() -> None:
    batch = encoded(tiny_model(), 3, identities=[0, 0, 1])
    ours, published = (negative_weights(replace(batch, behaviour=behaviour)) for behaviour in (DEFAULT, FREE))
    for mine, theirs in zip(ours, published, strict=True):
        assert mine[0, 1] < 1e-9 < 1e-4 <= theirs[0, 1]
        assert mine[0, 2] == theirs[0, 2]
        assert (theirs.diagonal() == 0).all()


def test_published_weight_decay_goes_by_published_names() -> None:
    model = tiny_model()
    optimizer = build_optimizer(model, OptimizerSettings(weight_decay=0.3), PUBLISHED)
    assert isinstance(optimizer, PublishedAdamW)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: decay[id(parameter)] for name, parameter in model.named_parameters()}
    assert found["vision.backbone.norm.weight"] == found["temperature"] == found["frame_embedding"] == 0.3
    assert found["projection.1.weight"] == found["matching_head.layernorm.weight"] == 0.3
    assert found["multimodal.bert.embeddings.LayerNorm.weight"] == found["projection.1.bias"] == 0.0
    assert found["vision.backbone.layers.0.blocks.0.attn.relative_position_bias_table"] == 0.0


def test_published_adamw_without_operations_on_many_tensors() -> None:
    with without("_foreach_sqrt"):
        test_published_adamw_against_its_formula()


def test_published_adamw_against_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    start, gradient = torch.randn(5, generator=generator), [torch.randn(5, generator=generator) for _ in range(3)]
    parameter, untouched = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizer = PublishedAdamW(
        [{"params": [parameter, untouched], "lr": 0.1, "weight_decay": 0.2}], betas=(0.9, 0.98), eps=1e-2
    )
    expected, m, v = start.double(), torch.zeros(5).double(), torch.zeros(5).double()
    for step, g in enumerate(gradient, start=1):
        parameter.grad = g.clone()
        optimizer.step()
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
        expected = expected - 0.1 * (1 - 0.98**step) ** 0.5 / (1 - 0.9**step) * m / (v.sqrt() + 1e-2)
        expected = expected - 0.1 * 0.2 * expected
    torch.testing.assert_close(parameter.detach().double(), expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(untouched, start)
    restored = PublishedAdamW([{"params": [parameter, untouched], "lr": 0.1, "weight_decay": 0.2}], betas=(0.9, 0.98), eps=1e-2)
    restored.load_state_dict(optimizer.state_dict())
    assert restored.state[parameter]["step"] == 3


def test_published_rates() -> None:
    optimizer = build_optimizer(tiny_model(), OptimizerSettings(learning_rate=1.0))
    settings = OptimizerSettings(warmup_ratio=0.5)
    shares = [set_learning_rate(optimizer, step, 4, settings, PUBLISHED) for step in range(4)]
    assert shares == pytest.approx([0.5, 1.0, 0.5, 0.0])
    assert schedule(0.5, 0.5, "cosine") == pytest.approx(1.0)
    assert schedule(0.5, 0.5, "cosine", PUBLISHED) == pytest.approx(0.5)
    assert schedule(1.0, 0.5, "cosine") == pytest.approx(0.0)


def test_new_parameters_have_their_own_rate() -> None:
    model = tiny_model()
    settings = OptimizerSettings(new_parameters=("matching_head.", "temperature"), new_learning_rate=0.5)
    rates = {id(p): g["peak_learning_rate"] for g in build_optimizer(model, settings).param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        assert (rates[id(parameter)] == 0.5) == name.startswith(("matching_head.", "temperature")), name
    with pytest.raises(ValueError, match="belong together"):
        OptimizerSettings(new_learning_rate=0.5)


def test_published_references_have_special_tokens() -> None:
    tokenizer = tiny_model().tokenizer
    ids = tokenizer.ids("a red ball")
    assert reference_ids("a red ball", tokenizer) == ids
    assert reference_ids("a red ball", tokenizer, PUBLISHED) == (101, *ids, 102)


def test_unranked_videos_tie_at_zero() -> None:
    ranked = {}
    for behaviour in (DEFAULT, PUBLISHED):
        result = evaluate_retrieval(
            tiny_model(), ENTRIES, random_clips, rerank=1, video_to_text=False, batch_size=64, max_text_tokens=16,
            device=torch.device("cpu"), behaviour=behaviour,
        )  # fmt: skip
        ranked[behaviour] = [row["scores"] for row in result.predictions]
    assert all(scores[1:] == [0.0] * (len(scores) - 1) for scores in ranked[PUBLISHED])
    assert all(max(scores[1:]) < -8 for scores in ranked[DEFAULT])
