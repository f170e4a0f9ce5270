"""Visual tokens stage by stage, pooling, projection, frame embeddings and their interpolation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.golden import golden
from tests.golden.golden import Encoder

pytestmark = pytest.mark.golden


def published_stages(encoder: Encoder, backbone: nn.Module) -> dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """timm's module for each recorded stage, and how its output is laid out there."""

    def flat(output: Tensor) -> Tensor:  # (images, rows, columns, dim) to (images, tokens, dim)
        return output.flatten(1, 2) if output.dim() == 4 else output

    if encoder == "clip":
        stages = {"conv1": (backbone.patch_embed, lambda x: x.transpose(1, 2)), "ln_pre": (backbone.norm_pre, flat)}
        for index, block in enumerate(backbone.blocks):
            stages[f"resblocks.{index}"] = (block, lambda x: x.transpose(0, 1))  # tokens first
        return {**stages, "ln_post": (backbone.norm, flat)}
    found: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]] = {"patch_embed": (backbone.patch_embed, flat)}
    last = len(backbone.layers) - 1
    for index, layer in enumerate(backbone.layers):
        for number, block in enumerate(layer.blocks):
            found[f"layers.{index}.blocks.{number}"] = (block, flat)
        found[f"layers.{index}"] = (layer if index == last else backbone.layers[index + 1].downsample, flat)
    return found


@torch.no_grad()
def test_stages(encoder: Encoder) -> None:
    expected = golden.record(encoder, "vision")["stages"]
    model = golden.model_of(encoder)
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name, lay=lay: outputs.__setitem__(name, lay(output)))
        for name, (module, lay) in published_stages(encoder, model.vision.backbone).items()
    ]
    images = next(iter(expected.values()))["shape"][0]
    model.vision(golden.pixels().flatten(0, 1)[:images])
    for hook in hooks:
        hook.remove()
    assert outputs.keys() == expected.keys()
    for name, stage in expected.items():
        golden.close(outputs[name].flatten()[: len(stage["first"])], stage["first"])
        golden.same_checksums(outputs[name], stage)


@torch.no_grad()
def test_outputs(encoder: Encoder) -> None:
    expected = golden.record(encoder, "vision")
    model, video = golden.model_of(encoder), golden.video_of(encoder)
    videos = len(expected["video_output"])
    golden.close(video.tokens[:videos], expected["video_output"])
    features = video.features(videos)
    golden.close(features.pooled.mean(1), expected["pooled"])
    frames = expected["video_output"].shape[1]
    golden.close(model.video_input(features), expected[f"video_input_n{frames}"])


@torch.no_grad()
def test_frame_embeddings_for_other_numbers_of_frames(encoder: Encoder) -> None:
    expected = golden.record(encoder, "vision")
    model = golden.model_of(encoder)
    flat = golden.video_of(encoder).tokens[: len(expected["video_output"])].flatten(0, 1)
    assert len(model.frame_embedding) == expected["trained_frames"]
    for frames, found in expected["video_input_other_n"].items():
        tokens = flat[found["frame_index_into_flat_video_output"]][None]
        assert tokens.shape[1] == int(frames)
        video_input = model.video_input(model.features_of(tokens))
        golden.same_checksums(video_input, found["stats"])
        key = golden.key_with(found, "slice_every")
        golden.close(video_input[:, :: golden.number_in(key)], found[key])
    for frames, indices in expected["frame_embedding_index"].items():
        assert torch.equal(model.frame_embeddings(int(frames)), model.frame_embedding[indices])


@torch.no_grad()
def test_normalised_pixels_and_uint8_are_the_same_input(encoder: Encoder) -> None:
    norm = golden.config()["pixel_norm"][encoder]
    mean, std = (torch.tensor(norm[name]).view(3, 1, 1) for name in ("mean", "std"))
    frames = golden.pixels()[:1]
    golden.close(golden.model_of(encoder).encode_frames((frames / 255.0 - mean) / std), golden.video_of(encoder).tokens[:1])
