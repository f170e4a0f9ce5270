from pathlib import Path

import pytest
import torch

from cosa.checkpoints.new_model import new_model
from cosa.errors import UserError
from cosa.model import COSA
from cosa.model_config import ModelConfig
from tests.cosa.checkpoints.test_pretrained import bert_folder, saved_backbone
from tests.support import tiny_config


def test_a_new_model_is_drawn_from_its_seed() -> None:
    torch.manual_seed(4)
    expected = COSA(tiny_config()).state_dict()
    torch.manual_seed(9)
    assert all(torch.equal(value, expected[name]) for name, value in new_model(tiny_config(), seed=4).state_dict().items())
    torch.manual_seed(4)
    assert all(torch.equal(value, expected[name]) for name, value in new_model(tiny_config()).state_dict().items())


def pretrained_config(vision: str, text: str) -> ModelConfig:
    config = tiny_config("clip")
    parts = {"vision": config.vision.model_copy(update={"pretrained": vision})}
    return config.model_copy(update={**parts, "text": config.text.model_copy(update={"pretrained": text})})


def test_encoders_are_loaded_and_the_rest_is_drawn_as_without_them(tmp_path: Path) -> None:
    path, saved = saved_backbone(tmp_path, "clip", ".pth")
    config = pretrained_config(str(path), bert_folder(tmp_path / "bert"))
    found, random = new_model(config, seed=4).state_dict(), new_model(tiny_config("clip"), seed=4).state_dict()
    for name, value in saved.backbone.state_dict().items():
        assert torch.equal(found[f"vision.backbone.{name}"], value)
    new = [name for name in random if not name.startswith(("vision.backbone.", "multimodal.")) or "crossattention" in name]
    assert len(new) > 20
    for name in new:
        assert torch.equal(found[name], random[name]), name


def test_weights_that_are_missing_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.vision\.pretrained: no file"):
        new_model(pretrained_config(str(tmp_path / "gone.pth"), bert_folder(tmp_path / "bert")))
