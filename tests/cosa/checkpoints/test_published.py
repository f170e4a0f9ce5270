from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cosa.checkpoints.loading import load_model
from cosa.checkpoints.locate import PublishedFiles
from cosa.checkpoints.native import save_checkpoint
from cosa.checkpoints.published import import_published
from cosa.checkpoints.published_names import UNKNOWN, without_wrappers
from cosa.checkpoints.weight_files import read_weights
from cosa.errors import UserError
from cosa.model import COSA
from cosa.training.optimizer import build_optimizer
from cosa.training.training_settings import OptimizerSettings
from tests.cosa.checkpoints.published import published_folder, published_state
from tests.support import FAMILIES, Family, tiny_model

HEADS = {"swin": {"resolution": 32}, "clip": {"vision_heads": 2}}


def saved(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    path = tmp_path / "model.pt"
    torch.save(state, path)
    return path


def brought_in(path: Path, family: Family) -> tuple[COSA, object]:
    return import_published(PublishedFiles(path), text_heads=4, **HEADS[family])  # type: ignore[arg-type]


def same_weights(found: COSA, expected: COSA) -> None:
    state = found.state_dict()
    assert state.keys() == expected.state_dict().keys()
    for name, value in expected.state_dict().items():
        assert torch.equal(state[name], value), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("wrapped", ["{}", "module.{}", "first.module.{}"])
def test_all_weights_arrive(tmp_path: Path, family: Family, wrapped: str) -> None:
    """`module.` stands anywhere; "first." is not ours to remove and makes every key unknown."""
    model = tiny_model(family)
    state = {wrapped.format(key): value for key, value in published_state(model).items()}
    path = saved(tmp_path, state)
    if wrapped.startswith("first"):
        with pytest.raises(UserError, match="is no published COSA model"):
            brought_in(path, family)
        return
    found, report = brought_in(path, family)
    same_weights(found, model)
    assert found.config.vision.depth == model.config.vision.depth
    assert found.config.vision.num_heads == model.config.vision.num_heads
    assert UNKNOWN not in report.unused.values()  # type: ignore[attr-defined]


def test_prefixes_are_removed_as_full_parts_only() -> None:
    assert without_wrappers("module.clip_model.module.visual.x") == "clip_model.visual.x"
    assert without_wrappers("submodule.x") == "submodule.x"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_unused_has_its_reason(tmp_path: Path, family: Family) -> None:
    state = published_state(tiny_model(family)) | {"something.else": torch.zeros(1)}
    _, report = brought_in(saved(tmp_path, state), family)
    assert report.used.keys() | report.unused.keys() == state.keys()  # type: ignore[attr-defined]
    reasons = report.unused  # type: ignore[attr-defined]
    assert reasons["something.else"] == UNKNOWN
    assert "tied" in reasons["multimodal_encoder.cls.predictions.decoder.weight"]
    if family == "clip":
        assert "text tower" in reasons["clip_model.transformer.resblocks.0.ln_1.weight"]
        assert "projection" in reasons["clip_model.visual.proj"]
    else:
        assert "index buffer" in reasons["video_encoder.layers.0.blocks.0.attn.relative_position_index"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_is_needed(tmp_path: Path, family: Family) -> None:
    model = tiny_model(family)
    state = published_state(model)
    doubled = ("multimodal_encoder.cls.predictions.bias", "multimodal_encoder.bert.embeddings.word_embeddings.weight")
    _, report = brought_in(saved(tmp_path, state), family)
    for key in report.used:  # type: ignore[attr-defined]
        path = saved(tmp_path, {name: value for name, value in state.items() if name != key})
        if key in doubled:  # its twin is read
            same_weights(brought_in(path, family)[0], model)
            continue
        with pytest.raises(UserError) as caught:
            brought_in(path, family)
        assert "model.pt" in str(caught.value)
        assert "expected" in str(caught.value) or "lacks" in str(caught.value)


def test_tied_weights_that_differ(tmp_path: Path) -> None:
    state = published_state(tiny_model())
    state["multimodal_encoder.cls.predictions.decoder.bias"] += 1
    with pytest.raises(UserError, match="they are one tensor in COSA"):
        brought_in(saved(tmp_path, state), "swin")


def test_weights_that_are_no_numbers_matter_where_they_are_used(tmp_path: Path) -> None:
    state = published_state(tiny_model("swin"))
    brought_in(saved(tmp_path, {**state, "video_encoder.head.bias": torch.full((2,), -torch.inf)}), "swin")
    state["video_frame_embedding"].view(-1)[0] = torch.nan
    with pytest.raises(UserError, match=r"model\.pt is damaged: video_frame_embedding holds NaN or infinite numbers"):
        brought_in(saved(tmp_path, state), "swin")


def test_another_shape(tmp_path: Path) -> None:
    state = published_state(tiny_model())
    state["itm_head.linear2.bias"] = torch.zeros(3)
    with pytest.raises(UserError, match=r"itm_head\.linear2\.bias has shape \(3,\); expected \(2,\)"):
        brought_in(saved(tmp_path, state), "swin")


def test_sizes_that_no_shape_tells(tmp_path: Path) -> None:
    clip = saved(tmp_path, published_state(tiny_model("clip")))
    with pytest.raises(UserError, match="--vision-heads"):
        import_published(PublishedFiles(clip), text_heads=4)
    with pytest.raises(UserError, match="give --text-heads"):
        import_published(PublishedFiles(clip), vision_heads=2)
    swin = saved(tmp_path, published_state(tiny_model("swin")))
    with pytest.raises(UserError, match="--resolution"):
        import_published(PublishedFiles(swin), text_heads=4)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_width_of_the_feed_forward_blocks(tmp_path: Path, family: Family) -> None:
    config = tiny_model(family).config
    model = COSA(config.model_copy(update={"vision": config.vision.model_copy(update={"mlp_ratio": 2.0})}))
    found, _ = brought_in(saved(tmp_path, published_state(model)), family)
    assert found.config.vision.mlp_ratio == 2.0
    same_weights(found, model)


def test_a_swin_tells_its_resolution_by_its_masks(tmp_path: Path) -> None:
    state = published_state(tiny_model())
    state["video_encoder.layers.0.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)  # 2 x 2 windows of 4 patches of 4 pixels
    state |= {
        key.replace("layers.0.blocks.0", "layers.0.blocks.1"): value.clone()
        for key, value in state.items() if key.startswith("video_encoder.layers.0.blocks.0")
    }  # fmt: skip
    found, _ = import_published(PublishedFiles(saved(tmp_path, state)), text_heads=4)
    assert found.config.vision.resolution == 32
    assert found.config.vision.depth == (2, 1)


def test_a_published_folder_by_its_last_step(tmp_path: Path) -> None:
    model = tiny_model()
    folder = published_folder(tmp_path / "cosa", model, steps=(9, 100), video_resolution=32, video_encoder_type="swin_base")
    torch.save({"nothing": torch.zeros(1)}, folder / "ckpt" / "model_step_9.pt")
    same_weights(load_model(folder), model)
    same_weights(load_model(folder / "ckpt" / "model_step_100.pt"), model)  # it finds its options, too
    assert load_model(folder, frame_positions=8).frame_embedding.shape[0] == 8


def test_options_of_another_model(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "cosa", tiny_model(), video_resolution=32, video_encoder_type="clip_vit_base_16")
    with pytest.raises(UserError, match="says video_encoder_type 'clip_vit_base_16'"):
        load_model(folder)


@pytest.mark.parametrize(("content", "message"), [("{", "as JSON"), ("[]", "found list"), ('{"video_resolution": "x"}', "'x'")])
def test_broken_options(tmp_path: Path, content: str, message: str) -> None:
    folder = published_folder(tmp_path / "cosa", tiny_model())
    (folder / "log" / "hps.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load_model(folder)


def test_native_and_published_load_with_one_call(tmp_path: Path) -> None:
    model = tiny_model("clip")
    save_checkpoint(model, tmp_path / "ours")
    same_weights(load_model(tmp_path / "ours"), model)
    with pytest.raises(UserError, match=r"is no checkpoint; expected a folder with model\.safetensors, a published folder"):
        load_model(tmp_path / "nowhere")


def test_safetensors_and_wrapped_files(tmp_path: Path) -> None:
    state = published_state(tiny_model())
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"model": state}, tmp_path / "b.pth")
    for name in ("a.safetensors", "b.pth"):
        assert read_weights(tmp_path / name).keys() == state.keys()


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no weights")
    torch.save({"model": {"a": 3}}, tmp_path / "numbers.pt")
    torch.save({"a": torch.zeros(1), "module.a": torch.zeros(1)}, tmp_path / "twice.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    torch.save({"code": torch.nn.Linear(1, 1)}, tmp_path / "code.pt")
    for name, message in {
        "text.pt": "is no file of weights", "numbers.pt": "'a' is int", "twice.pt": "stands twice", "list.pt": "holds list",
        "code.pt": "is no file of weights", "gone.pt": "no such file",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=message):
            read_weights(tmp_path / name)


def test_an_imported_clip_encoder_keeps_its_small_learning_rate(tmp_path: Path) -> None:
    model, _ = brought_in(saved(tmp_path, published_state(tiny_model("clip"))), "clip")
    optimizer = build_optimizer(model, OptimizerSettings())
    assert 5e-7 in {group["peak_learning_rate"] for group in optimizer.param_groups}
