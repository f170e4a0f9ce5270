"""Encoders that do not exist, and images that no patch divides, are reported for the spec."""

import json
from pathlib import Path

import pytest

from cosa.encoders import vision_checks
from cosa.encoders.vision_config import VisionConfig
from workflows.spec.load import load_spec
from workflows.spec.problems import SpecError

SPEC = """\
name: images
model: {vision: {encoder: vit_tiny_patch16_224, resolution: 64}}
datasets: {own: {media: image, root: images, splits: {train: train.json, val: train.json}}}
stages:
  start: {kind: pretrain, corpora: [{dataset: own, objectives: [itc], steps: 2, batch_size: 2}]}
  tuned: {kind: finetune, task: retrieval, dataset: own, init_from: start, epochs: 1}
  test: {kind: evaluate, checkpoint: tuned, dataset: own, split: val, tasks: [retrieval]}
"""
NOT_48 = "is not a multiple of 16, the patches of 'vit_tiny_patch16_224'; give"


def problems(folder: Path, *overrides: str) -> list[str]:
    (folder / "spec.yaml").write_text(SPEC)
    try:
        load_spec(folder / "spec.yaml", list(overrides), environment={})
    except SpecError as error:
        return [problem.message for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.vision.resolution=64", []),
        ("model.vision.resolution=50", [f"model.vision.resolution: 50 {NOT_48} 48 or 64"]),
        ("model.vision.resolution=8", [f"model.vision.resolution: 8 {NOT_48} 16"]),
        ("model.vision.patch_size=10", ["64 is not a multiple of 10"]),
        ("stages.tuned.resolution=50", [f"stages.tuned.resolution: 50 {NOT_48} 48 or 64"]),
        ("stages.test.resolution=72", [f"stages.test.resolution: 72 {NOT_48} 64 or 80"]),
        ("stages.tuned.sweep={resolution: [48, 50, 64]}", [f"stages.tuned.sweep: 50 {NOT_48} 48 or 64"]),
        ("model.vision.encoder=vit_tinny_patch16_224", ["timm has no model 'vit_tinny_patch16_224'; did you mean 'vit_tiny_"]),
    ],
)
def test_each_mistake_once(tmp_path: Path, override: str, says: list[str]) -> None:
    found = problems(tmp_path, override)
    assert len(found) == len(says)
    assert all(expected in message for expected, message in zip(says, found, strict=True))


def test_the_encoder_of_a_checkpoint_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("saved").mkdir()
    Path("saved/model.safetensors").touch()
    Path("saved/config.json").write_text(json.dumps({"vision": {"encoder": "vit_base_patch32_224"}}))
    given = ("stages.tuned.init_from=./saved", "stages.start=", "stages.tuned.resolution=48")
    assert "48 is not a multiple of 32, the patches of 'vit_base_patch32_224'; give 32 or 64" in problems(tmp_path, *given)[0]
    Path("saved/config.json").write_text("{")
    assert problems(tmp_path, *given) == []


def test_names_are_those_that_timm_knows() -> None:
    """Without importing it, in a fraction of a second."""
    import timm

    names = vision_checks._installed_names()
    assert set(timm.list_models()) <= names
    assert all(map(timm.is_model, names)), "former names work, too"


def test_a_release_of_timm_that_keeps_its_names_elsewhere_blocks_nothing() -> None:
    assert vision_checks.unknown_encoder(VisionConfig(encoder="vit_tinny_patch16_224"), []) is None
