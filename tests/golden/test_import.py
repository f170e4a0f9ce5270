"""Published files: every key accounted for, positions adapted, raw files of the encoders' authors."""

from pathlib import Path

import pytest
import torch

from cosa.checkpoints.pretrained import load_vision
from cosa.checkpoints.published_names import UNKNOWN
from cosa.encoders.vision import VisionEncoder
from cosa.encoders.vision_config import VisionConfig
from tests.golden import golden
from tests.golden.golden import Encoder

pytestmark = pytest.mark.golden


def pretrained_encoder(config: VisionConfig) -> VisionEncoder:
    """With the weights of its file, in evaluation mode."""
    encoder = VisionEncoder(config).eval()
    load_vision(encoder)
    return encoder


def test_every_key_is_used_or_unused_with_a_reason(encoder: Encoder) -> None:
    recorded = golden.record(encoder, "model")
    model, report = golden.imported(golden.FOLDER / golden.folder_of(encoder) / "model.pt")
    assert set(report.used) | set(report.unused) == set(recorded)
    assert not set(report.used) & set(report.unused)
    assert UNKNOWN not in report.unused.values()
    state = model.state_dict()
    for theirs, ours in report.used.items():
        assert torch.equal(state[ours].flatten(), recorded[theirs].flatten()), theirs


def test_sizes_follow_from_the_file(encoder: Encoder) -> None:
    found, sizes = golden.model_of(encoder).config, golden.config()
    bert = sizes["bert"]
    assert (found.text.hidden_size, found.text.num_hidden_layers) == (bert["hidden_size"], bert["num_hidden_layers"])
    assert (found.text.intermediate_size, found.text.vocabulary_size) == (bert["intermediate_size"], bert["vocab_size"])
    assert found.text.max_position_embeddings == bert["max_position_embeddings"]
    assert found.contrastive_dim == golden.option("contra_dim")
    assert found.frame_positions == golden.option("video_frame_embedding_length")
    assert found.vision.resolution == golden.option("video_resolution")
    if encoder == "swin":
        swin = sizes["swin"]
        assert (found.vision.patch_size, found.vision.embed_dim) == (swin["patch_size"], swin["embed_dim"])
        assert (found.vision.depth, found.vision.num_heads) == (tuple(swin["depths"]), tuple(swin["num_heads"]))
        assert found.vision.window_size == swin["window_size"]
    else:
        clip = sizes["clip"]
        assert (found.vision.patch_size, found.vision.embed_dim) == (clip["patch"], clip["width"])
        assert (found.vision.depth, found.vision.num_heads) == (clip["layers"], clip["heads"])


@pytest.mark.parametrize("case", sorted(golden.load("clip_resize/load_from_pretrained.pt")))
@torch.no_grad()
def test_other_numbers_of_frames_and_resolutions(case: str) -> None:
    expected = golden.load("clip_resize/load_from_pretrained.pt")[case]
    model = golden.fresh_model("clip", resolution=expected["resolution"], frame_positions=expected["frames"])
    golden.close(model.frame_embedding, expected["video_frame_embedding"])
    golden.close(model.vision.backbone.pos_embed[0], expected["positional_embedding"])
    forward = expected["forward"]
    videos = len(forward["feat_v"])
    tokens = model.encode_frames(golden.at_resolution(golden.pixels()[:videos], expected["resolution"]))
    features = model.features_of(tokens)
    golden.close(tokens[:, :, 0], forward["video_output_class_tokens"])
    golden.same_checksums(tokens, forward["video_output_stats"])
    video_input = model.video_input(features)
    golden.same_checksums(video_input, forward["video_input_stats"])
    first = forward["video_input_first_tokens"]
    golden.close(video_input[:, : first.shape[1]], first)
    golden.close(model.video_contrastive(features), forward["feat_v"])
    ids = golden.text_ids("clip", golden.config()["captions"][:videos], golden.option("max_text_tokens"))
    golden.close(model.text_contrastive(ids), forward["feat_t"])


@pytest.mark.parametrize("resolution", sorted(golden.load("clip_resize/clip_resize.pt")))
@torch.no_grad()
def test_raw_openai_weights_at_other_resolutions(resolution: int) -> None:
    expected, raw = golden.load("clip_resize/clip_resize.pt")[resolution], golden.config()["clip_raw"]
    encoder = pretrained_encoder(
        VisionConfig(
            encoder="vit_base_patch16_clip_quickgelu_224",
            resolution=int(resolution),
            pretrained=str(golden.FOLDER / "clip_resize" / "clip_raw_openai_format.pt"),
            patch_size=raw["patch"],
            embed_dim=raw["width"],
            depth=raw["layers"],
            num_heads=expected["transformer_heads"],
        )
    )
    golden.close(encoder.backbone.pos_embed[0], expected["positional_embedding"])
    golden.same_checksums(encoder.backbone.patch_embed.proj.weight, expected["conv1_weight_stats"], tolerance=1e-7)
    frames = golden.at_resolution(golden.pixels()[:1, 0], int(resolution))
    golden.close(encoder(frames), expected["encode_image"])


def test_raw_openai_weights_pass_through_half_precision() -> None:
    path = golden.FOLDER / "clip_resize" / "clip_raw_openai_format.pt"
    raw, sizes = golden.load("clip_resize/clip_raw_openai_format.pt"), golden.config()["clip_raw"]
    config = VisionConfig(
        encoder="vit_base_patch16_clip_quickgelu_224", resolution=sizes["res"], pretrained=str(path),
        patch_size=sizes["patch"], embed_dim=sizes["width"], depth=sizes["layers"], num_heads=sizes["width"] // 64,
    )  # fmt: skip
    state = pretrained_encoder(config).backbone.state_dict()
    rounded = raw["visual.transformer.resblocks.0.mlp.c_fc.weight"].half().float()
    assert torch.equal(state["blocks.0.mlp.fc1.weight"], rounded)
    change = float((raw["visual.conv1.weight"] - state["patch_embed.proj.weight"]).abs().max())
    for expected in golden.load("clip_resize/clip_resize.pt").values():
        assert change == pytest.approx(expected["max_weight_change_by_fp16"])
    assert torch.equal(state["norm_pre.weight"], raw["visual.ln_pre.weight"])
    assert torch.equal(state["cls_token"].flatten(), raw["visual.class_embedding"])


@torch.no_grad()
def test_microsoft_swin_weights_load_as_an_image_encoder(tmp_path: Path) -> None:
    """The part of the recorded model below `video_encoder.`, with a head, is a file in Microsoft's naming."""
    prefix = "video_encoder."
    raw = {k.removeprefix(prefix): v for k, v in golden.record("swin", "model").items() if k.startswith(prefix)}
    raw["head.weight"], raw["head.bias"] = torch.zeros(5, 3), torch.zeros(5)
    torch.save({"model": raw}, tmp_path / "swin.pth")
    vision = golden.model_of("swin").config.vision.model_copy(update={"pretrained": str(tmp_path / "swin.pth")})
    encoder = pretrained_encoder(vision)
    frames = golden.pixels()[0]
    golden.close(encoder(frames), golden.record("swin", "vision")["video_output"][0])
