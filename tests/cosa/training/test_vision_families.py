"""Encoders that COSA was not published with: trained, evaluated, loaded and saved as the published ones are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from cosa.behaviour import PUBLISHED
from cosa.checkpoints.native import load_checkpoint, save_checkpoint
from cosa.checkpoints.new_model import new_model
from cosa.data.annotations import CaptionEntry
from cosa.draws import Draws
from cosa.encoders.plain_vit import PlainVit
from cosa.encoders.vision_families import VISION_FAMILIES
from cosa.errors import UserError
from cosa.evaluation.video_ranking import evaluate_retrieval
from cosa.model import COSA
from cosa.training.loop import Trainer
from cosa.training.optimizer import build_optimizer
from cosa.training.training_settings import OptimizerSettings
from tests.cosa.training.small import small_trainer
from tests.support import CAPTIONS, VISION_SIZES, gradients, random_clips, random_frames, tiny_config, tiny_model

OTHERS = ("siglip", "siglip gap", "augreg", "dinov2", "dinov2 with registers", "dinov3")
OBJECTIVES = ("itc", "cap")


def loss_of(trainer: Trainer) -> float:
    """Of one batch, with the same draws whenever it is asked for."""
    trainer.losses.eval()
    with torch.no_grad():
        losses = trainer.losses(trainer.batches[0], Draws(torch.Generator().manual_seed(1)))
    trainer.losses.train()
    return float(torch.stack(list(losses.values())).sum())


def small_step(trainer: Trainer) -> None:
    """One update along the gradient: a large first step of AdamW may overshoot."""
    for group in trainer.optimizer.param_groups:
        group["peak_learning_rate"] = 1e-4
    trainer.train_step(trainer.batches[0])


def retrieval_of(model: COSA) -> dict[str, float]:
    entries = [CaptionEntry(f"clip{i}", (text,), i) for i, text in enumerate(CAPTIONS)]
    given = {"rerank": 5, "video_to_text": True, "batch_size": 3, "max_text_tokens": 16, "device": torch.device("cpu")}
    return dict(evaluate_retrieval(model.eval(), entries, random_clips, **given).metrics)


@pytest.mark.parametrize("family", OTHERS)
def test_trained_and_evaluated(family: str) -> None:
    trainer = small_trainer(OBJECTIVES, family=family)
    before = loss_of(trainer)
    vision = {name: value.clone() for name, value in trainer.losses.model.vision.named_parameters()}
    small_step(trainer)
    assert loss_of(trainer) < before
    changed = {name for name, value in trainer.losses.model.vision.named_parameters() if not torch.equal(value, vision[name])}
    assert "backbone.patch_embed.proj.weight" in changed
    assert ("backbone.attn_pool.latent" in changed) == (family == "siglip")
    model = trainer.losses.model.eval()
    with torch.no_grad():
        video = model.video_contrastive(model.encode_video(random_frames(3, 2)))
    torch.testing.assert_close(video.norm(dim=1), torch.ones(3))
    assert 0 <= retrieval_of(model)["text_to_video_r1"] <= 100


@pytest.mark.parametrize("family", OTHERS)
def test_gradient_checkpointing_changes_no_gradient(family: str) -> None:
    found = []
    for enabled in (False, True):
        model = tiny_model(family, dropout=0.0).train()
        model.set_gradient_checkpointing(enabled)
        model.video_contrastive(model.encode_video(random_frames(2, 2)))[:, 0].sum().backward()
        found.append(gradients(model))
    torch.testing.assert_close(found[0], found[1])


def timm_model(family: str, resolution: int) -> Any:
    """Without any of our code."""
    sizes = dict(VISION_SIZES[family])
    torch.manual_seed(11)
    return timm.create_model(str(sizes.pop("encoder")), img_size=resolution, num_classes=0, **sizes).eval()


def shrunk(positions: Tensor) -> Tensor:
    """(1, 16, dim) of 4 x 4 to (1, 4, dim) of 2 x 2: bilinearly, so the mean of each four."""
    return positions.unflatten(1, (2, 2, 2, 2)).mean((2, 4)).flatten(1, 2)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("family", OTHERS)
@torch.no_grad()
def test_files_of_timm_at_their_resolution_and_another(tmp_path: Path, family: str, suffix: str) -> None:
    theirs, path = timm_model(family, 64), tmp_path / f"weights{suffix}"
    weights = theirs.state_dict()
    if suffix == ".pt":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    for resolution in (64, 32):
        config = tiny_config(family)
        vision = config.vision.model_copy(update={"pretrained": str(path), "resolution": resolution})
        backbone = new_model(config.model_copy(update={"vision": vision})).vision.backbone
        for name, value in backbone.state_dict().items():
            if name == "pos_embed" and resolution == 32:
                before = value.shape[1] - 4
                torch.testing.assert_close(value[:, :before], weights[name][:, :before])
                torch.testing.assert_close(value[:, before:], shrunk(weights[name][:, before:]))
            else:
                assert torch.equal(value, weights[name]), name
        if resolution == 64:
            images = torch.randn(2, 3, 64, 64)
            torch.testing.assert_close(backbone.eval()(images), theirs(images))


@pytest.mark.parametrize("family", OTHERS)
@torch.no_grad()
def test_saved_and_loaded_at_another_resolution(tmp_path: Path, family: str) -> None:
    model = tiny_model(family)
    save_checkpoint(model, tmp_path)
    same, larger = load_checkpoint(tmp_path).eval(), load_checkpoint(tmp_path, resolution=64).eval()
    frames = random_frames(2, 2)
    for pair in zip(*((m.encode_video(frames).projected, m.encode_video(frames).pooled) for m in (model, same)), strict=True):
        assert torch.equal(*pair)
    tokens = larger.encode_frames(random_frames(2, 2, resolution=64))
    assert tokens.shape[2] == model.encode_frames(frames).shape[2] + 16 - 4
    positions = larger.vision.backbone.state_dict().get("pos_embed")
    if positions is not None:
        torch.testing.assert_close(
            shrunk(positions[:, -16:]).mean(1), model.vision.backbone.pos_embed[:, -4:].mean(1), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("family", OTHERS)
def test_published_weight_decay_needs_published_names(family: str) -> None:
    with pytest.raises(UserError, match=r"know no (SigLIP|ViT) encoder; leave out `behaviour: published`"):
        build_optimizer(tiny_model(family), OptimizerSettings(), PUBLISHED)


# -- a family from outside --------------------------------------------------------------------------------------------


class Deit(PlainVit):
    title = "DeiT"
    names = ("deit_*",)
    example = "deit_tiny_patch16_224"
    pretrained_learning_rate = 3e-5


def test_a_family_that_is_registered_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is edited: it is built, loaded, trained, evaluated, saved."""
    monkeypatch.setitem(VISION_FAMILIES, "deit", Deit())
    monkeypatch.setitem(VISION_SIZES, "deit", {**VISION_SIZES["augreg"], "encoder": "deit_tiny_patch16_224"})
    torch.save(timm_model("deit", 32).state_dict(), tmp_path / "deit.pt")
    config = tiny_config("deit")
    vision = config.vision.model_copy(update={"pretrained": str(tmp_path / "deit.pt")})
    model = new_model(config.model_copy(update={"vision": vision}), seed=1)
    assert model.vision.family.title == "DeiT"
    rates = {group["peak_learning_rate"] for group in build_optimizer(model, OptimizerSettings()).param_groups}
    assert rates == {1e-4, 3e-5}
    trainer = small_trainer(OBJECTIVES, family="deit")
    before = loss_of(trainer)
    small_step(trainer)
    assert loss_of(trainer) < before
    save_checkpoint(trainer.losses.model, tmp_path / "saved")
    loaded = load_checkpoint(tmp_path / "saved", resolution=64).eval()
    assert loaded.encode_frames(random_frames(1, 1, resolution=64)).shape[2] == 17
    assert np.isfinite(list(retrieval_of(load_checkpoint(tmp_path / "saved")).values())).all()
