import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import cosa
from cosa.checkpoints.native import CONFIG, WEIGHTS, load_checkpoint, read_config, save_checkpoint
from cosa.encoders.positions import resize_position_grid
from cosa.errors import UserError
from cosa.generation import generate
from tests.support import FAMILIES, Family, encoded, random_frames, tiny_model


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip(tmp_path: Path, family: Family) -> None:
    model = tiny_model(family)
    save_checkpoint(model, tmp_path / "deep" / "folder")
    loaded = load_checkpoint(tmp_path / "deep" / "folder").eval()
    assert loaded.config == model.config == read_config(tmp_path / "deep" / "folder")
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert torch.equal(encoded(loaded).similarities[0], encoded(model).similarities[0])
    texts = [generate(m, m.video_memory(m.encode_video(random_frames(2, 2))), max_tokens=4) for m in (model, loaded)]
    assert texts[0] == texts[1]
    head = loaded.multimodal.cls.predictions
    assert head.decoder.weight is loaded.multimodal.bert.embeddings.word_embeddings.weight
    assert head.decoder.bias is head.bias


def test_tied_weights_are_saved_once(tmp_path: Path) -> None:
    save_checkpoint(tiny_model(), tmp_path)
    assert not [name for name in load_file(tmp_path / WEIGHTS) if "decoder" in name]


def test_saving_again_replaces(tmp_path: Path) -> None:
    save_checkpoint(tiny_model(seed=1), tmp_path)
    save_checkpoint(tiny_model(seed=2), tmp_path)
    assert torch.equal(load_checkpoint(tmp_path).frame_embedding, tiny_model(seed=2).frame_embedding)


def test_a_checkpoint_does_not_fetch_pretrained_weights(tmp_path: Path) -> None:
    model = tiny_model("clip")
    vision = model.config.vision.model_copy(update={"pretrained": "/nowhere/weights.pth"})
    text = model.config.text.model_copy(update={"pretrained": "/nowhere/bert"})
    model.config = model.config.model_copy(update={"vision": vision, "text": text})
    save_checkpoint(model, tmp_path)
    assert load_checkpoint(tmp_path).config.vision.pretrained == "/nowhere/weights.pth"


@pytest.mark.parametrize("frames", [1, 2, 4, 7, 8])
def test_another_number_of_frames_takes_the_nearest_embeddings(tmp_path: Path, frames: int) -> None:
    model = tiny_model(frame_positions=4)
    save_checkpoint(model, tmp_path)
    loaded = load_checkpoint(tmp_path, frame_positions=frames)
    assert loaded.config.frame_positions == frames
    torch.testing.assert_close(loaded.frame_embedding, model.frame_embedding[[i * 4 // frames for i in range(frames)]])


@pytest.mark.parametrize("resolution", [32, 48, 64])
def test_another_resolution_interpolates_the_positions_of_a_clip_encoder(tmp_path: Path, resolution: int) -> None:
    model = tiny_model("clip")
    save_checkpoint(model, tmp_path)
    loaded = load_checkpoint(tmp_path, resolution=resolution).eval()
    old, new = model.vision.backbone.pos_embed, loaded.vision.backbone.pos_embed
    side = resolution // 16
    assert new.shape == (1, 1 + side * side, 16)
    assert torch.equal(new[:, 0], old[:, 0])
    corners = new[0, 1:].view(side, side, -1)
    torch.testing.assert_close(corners[0, 0], old[0, 1])
    torch.testing.assert_close(corners[-1, -1], old[0, 4])
    torch.testing.assert_close(new[0, 1:].mean(0), old[0, 1:].mean(0), atol=1e-6, rtol=0)
    assert loaded.encode_video(random_frames(1, 1, resolution=resolution)).projected.shape[2] == 1 + side * side
    assert loaded.config.vision.resolution == resolution


def test_another_resolution_of_a_swin(tmp_path: Path) -> None:
    model = tiny_model("swin")
    save_checkpoint(model, tmp_path)
    loaded = load_checkpoint(tmp_path, resolution=64)
    assert loaded.encode_video(random_frames(1, 1, resolution=64)).projected.shape[2] == 64
    small = load_checkpoint(tmp_path, resolution=16)  # the last stage is smaller than its window: offsets up to 1 are left
    table, cut = (m.vision.backbone.layers[1].blocks[0].attn.relative_position_bias_table for m in (model, small))
    assert torch.equal(cut.view(3, 3, -1), table.view(7, 7, -1)[2:5, 2:5])


def test_positions_on_a_line_stay_on_a_line() -> None:
    grid = torch.arange(16.0).view(1, 16, 1)
    small = resize_position_grid(torch.cat([torch.tensor([[[99.0]]]), grid], 1), 5)
    assert small.flatten().tolist() == [99.0, 2.5, 4.5, 10.5, 12.5]


def test_no_checkpoint(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UserError, match=r"is no checkpoint: expected config.json and model.safetensors"):
            load_checkpoint(folder)


def saved(folder: Path) -> Path:
    save_checkpoint(tiny_model(), folder)
    return folder


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_damaged_weights(tmp_path: Path, content: bytes | None) -> None:
    path = saved(tmp_path) / WEIGHTS
    intact = path.read_bytes()
    path.write_bytes(intact[: len(intact) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"model.safetensors is damaged .*make the checkpoint again"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"visoin": {}}'])
def test_damaged_configuration(tmp_path: Path, content: bytes) -> None:
    (saved(tmp_path) / CONFIG).write_bytes(content)
    with pytest.raises(UserError, match=r"config.json: "):
        load_checkpoint(tmp_path)


def test_weights_of_another_configuration(tmp_path: Path) -> None:
    path = saved(tmp_path) / CONFIG
    config = json.loads(path.read_text())
    for section, changes, message in (
        ("text", {"num_hidden_layers": 3}, "missing .*layer.2"),
        ("text", {"num_hidden_layers": 1}, "unknown .*layer.1"),
        ("text", {"hidden_size": 64}, "size mismatch"),
        ("vision", {"embed_dim": 16}, "size mismatch"),
    ):
        path.write_text(json.dumps({**config, section: {**config[section], **changes}}))
        with pytest.raises(UserError, match=rf"does not fit its config.json.*{message}"):
            load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["frame_embedding", "temperature", "multimodal.bert.embeddings.word_embeddings.weight"])
def test_a_weight_is_missing(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path) / WEIGHTS
    weights = load_file(path)
    del weights[name]
    save_file(weights, path)
    with pytest.raises(UserError, match=r"does not fit its config\.json: missing"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["frame_embedding", "temperature"])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, bad: float, name: str) -> None:
    path = saved(tmp_path) / WEIGHTS
    weights = load_file(path)
    weights[name].view(-1)[-1] = bad
    save_file(weights, path)
    with pytest.raises(UserError, match=rf"model\.safetensors is damaged: {name} holds NaN or infinite numbers; copy the"):
        load_checkpoint(tmp_path)
    with pytest.raises(UserError, match=name):
        cosa.load(tmp_path, eval_frames=2)


def test_bytes_that_were_overwritten_are_found(tmp_path: Path) -> None:
    path = saved(tmp_path) / WEIGHTS
    with path.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"\xff" * 1000)
    with pytest.raises(UserError, match=r"is damaged: [\w.]+ .*holds NaN"):
        load_checkpoint(tmp_path)


def test_large_and_many_numbers_are_no_damage(tmp_path: Path) -> None:
    path = saved(tmp_path) / WEIGHTS
    weights = load_file(path)
    weights["frame_embedding"].fill_(3e38)  # Their sum is infinite.
    save_file(weights, path)
    assert load_checkpoint(tmp_path).frame_embedding.max() > 2.9e38


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: None, "is missing"),
        (lambda text: text.replace("\nthe\n", "\nteh\n"), "line 1997: found 'teh', expected 'the'"),
        (lambda text: text + "more\n", "line 4162: found 'more', expected nothing"),
        (lambda text: text[: text.rindex("\n", 0, -1) + 1], "line 4161: found nothing, expected "),
        (lambda text: text.encode("utf-16"), "cannot be read"),
    ],
    ids=["missing", "edited", "longer", "shorter", "another encoding"],
)
def test_a_vocabulary_that_is_not_the_model_s_is_refused(tmp_path: Path, change: Callable, message: str) -> None:
    path = saved(tmp_path) / "vocab.txt"
    changed = change(path.read_text())
    path.unlink()
    if changed is not None:
        path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    with pytest.raises(UserError, match=rf"vocab\.txt,? {message}.*copy the checkpoint again"):
        load_checkpoint(tmp_path)
