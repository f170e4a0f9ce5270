from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM

from cosa.checkpoints.pretrained import load_text, load_vision
from cosa.encoders.positions import resize_position_grid
from cosa.encoders.text import MultimodalEncoder
from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision import VisionEncoder
from cosa.encoders.vision_config import VisionConfig
from cosa.errors import UserError
from tests.support import FAMILIES, Family, random_frames, tiny_config, vision_config


def vision_encoder(config: VisionConfig) -> VisionEncoder:
    encoder = VisionEncoder(config)
    load_vision(encoder)
    return encoder


def text_encoder(config: TextConfig) -> MultimodalEncoder:
    encoder = MultimodalEncoder(config)
    load_text(encoder)
    return encoder


# -- image encoders ---------------------------------------------------------------------------------------------------


def test_a_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # else it tries again for most of a minute
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "/nowhere")
    config = vision_config("swin", pretrained=True)
    message = r"weights of 'swin_tiny.*' could not be fetched from the hub \(HF_HUB_OFFLINE.*path of a downloaded"
    with pytest.raises(UserError, match=message):
        vision_encoder(config)


def saved_backbone(folder: Path, family: Family, suffix: str, **changes: Any) -> tuple[Path, VisionEncoder]:
    encoder, path = vision_encoder(vision_config(family, **changes)).eval(), folder / f"weights{suffix}"
    weights = {name: value.contiguous() for name, value in encoder.backbone.state_dict().items()}
    if suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path, encoder


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_from_a_file(tmp_path: Path, family: Family, suffix: str) -> None:
    path, saved = saved_backbone(tmp_path, family, suffix)
    loaded = vision_encoder(vision_config(family, pretrained=str(path))).eval()
    frames = random_frames(1, 1)[0]
    assert torch.equal(loaded(frames), saved(frames))


def test_weights_for_another_resolution(tmp_path: Path) -> None:
    path, saved = saved_backbone(tmp_path, "clip", ".safetensors")
    encoder = vision_encoder(vision_config("clip", pretrained=str(path), resolution=64))
    positions = saved.backbone.pos_embed.detach()
    torch.testing.assert_close(encoder.backbone.pos_embed.detach(), resize_position_grid(positions, 17))  # as published
    assert encoder(random_frames(1, 1, resolution=64)[0]).shape == (1, 17, 16)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path, _ = saved_backbone(tmp_path, "swin", ".pth")
    with pytest.raises(UserError, match=r"do not fit the sizes of model\.vision"):
        vision_encoder(vision_config("swin", embed_dim=16, pretrained=str(path)))
    torch.save({"something": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"lacks \d+ weights of the encoder"):
        vision_encoder(vision_config("swin", pretrained=str(tmp_path / "other.pth")))
    with pytest.raises(UserError, match="no file"):
        vision_encoder(vision_config("swin", pretrained=str(tmp_path / "gone.pth")))
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("no weights")
        with pytest.raises(UserError, match="is no file of weights"):
            vision_encoder(vision_config("swin", pretrained=str(tmp_path / name)))


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path, encoder = saved_backbone(tmp_path, "clip", ".pth")
    weights = encoder.backbone.state_dict()
    weights["norm.bias"][0] = torch.inf
    torch.save(weights, path)
    with pytest.raises(UserError, match=r"weights\.pth is damaged: norm\.bias holds NaN"):
        vision_encoder(vision_config("clip", pretrained=str(path)))


# -- text encoders ----------------------------------------------------------------------------------------------------


def bert_folder(folder: Path, **changes: int) -> str:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=4161, max_position_embeddings=96, **{**sizes, **changes})
    BertForMaskedLM(config).save_pretrained(folder)
    return str(folder)


def pretrained_config(source: str) -> TextConfig:
    return tiny_config().text.model_copy(update={"pretrained": source})


def test_weights_of_a_bert_are_loaded(tmp_path: Path) -> None:
    source = bert_folder(tmp_path)
    encoder = text_encoder(pretrained_config(source)).eval()
    bert = BertForMaskedLM.from_pretrained(source).eval()
    ids = torch.tensor([[101, 2000, 2500, 102]])
    hidden, _ = encoder(ids, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(encoder.language_logits(hidden), bert(input_ids=ids).logits, atol=1e-5, rtol=0)
    assert encoder.cls.predictions.decoder.weight is encoder.bert.embeddings.word_embeddings.weight
    random = MultimodalEncoder(pretrained_config("/nowhere"))
    assert random.layers[0].crossattention.self.key.bias.abs().max() == 0


@pytest.mark.parametrize("name", ["num_attention_heads", "num_hidden_layers", "intermediate_size"])
def test_weights_of_another_size_are_refused(tmp_path: Path, name: str) -> None:
    source = bert_folder(tmp_path, **{name: 8})
    with pytest.raises(UserError, match=f"model.text.{name}: .* has 8"):
        text_encoder(pretrained_config(source))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="BERT weights could not be loaded from"):
        text_encoder(pretrained_config(str(tmp_path)))
