"""Tiny models and batches for them: a step takes milliseconds."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cosa.data.batches import Batch
from cosa.encoders.text_config import TextConfig
from cosa.encoders.vision_config import VisionConfig
from cosa.model import COSA, VideoFeatures
from cosa.model_config import ModelConfig
from cosa.objectives.encoded_batch import EncodedBatch

Family = Literal["swin", "clip"]  # those that COSA was published with
FAMILIES: tuple[Family, ...] = ("swin", "clip")
_VIT = {"patch_size": 16, "embed_dim": 16, "depth": 2, "num_heads": 2}
VISION_SIZES: dict[str, dict[str, object]] = {
    "swin": {
        "encoder": "swin_tiny_patch4_window7_224", "patch_size": 4, "embed_dim": 8, "depth": (1, 1), "num_heads": (2, 2),
        "window_size": 4,
    },
    "clip": {"encoder": "vit_base_patch32_clip_quickgelu_224", **_VIT},
    "siglip": {"encoder": "vit_base_patch16_siglip_224", **_VIT},
    "siglip gap": {"encoder": "vit_base_patch16_siglip_gap_224", **_VIT},
    "augreg": {"encoder": "vit_tiny_patch16_224", **_VIT},
    "dinov2": {"encoder": "vit_small_patch14_dinov2", **_VIT},
    "dinov2 with registers": {"encoder": "vit_small_patch14_reg4_dinov2", **_VIT},
    "dinov3": {"encoder": "vit_small_patch16_dinov3", **_VIT},
}  # fmt: skip
CAPTIONS = (
    "a red ball rolls over the table",
    "two dogs play",
    "the man opens a door and goes into the house",
    "rain",
    "a woman is singing on the stage",
    "cars in the street at night",
    "the cat sleeps",
    "a small boat on the blue sea near the beach",
)


def vision_config(family: str, **changes: object) -> VisionConfig:
    return VisionConfig.model_validate({"resolution": 32, **VISION_SIZES[family], **changes})


def tiny_config(family: str = "swin", *, dropout: float = 0.1, frame_positions: int = 4) -> ModelConfig:
    text = TextConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        vocabulary_size=4161,
        max_position_embeddings=96,
        dropout=dropout,
    )
    return ModelConfig(vision=vision_config(family), text=text, contrastive_dim=16, frame_positions=frame_positions)


def tiny_model(
    family: str = "swin", *, seed: int = 0, dropout: float = 0.1, spread: float = 0.1, frame_positions: int = 4
) -> COSA:
    """In evaluation mode. `spread` moves every weight, so that no two inputs look alike and no bias is 0."""
    torch.manual_seed(seed)
    model = COSA(tiny_config(family, dropout=dropout, frame_positions=frame_positions))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim():
                parameter.add_(spread * torch.randn_like(parameter))
    return model.eval()


def random_frames(videos: int, frames: int = 1, *, resolution: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (videos, frames, 3, resolution, resolution), dtype=torch.uint8, generator=generator)


class RandomClips:
    """A clip source: two noise frames that depend on the identifier (and on the generator in training)."""

    def __call__(self, media_id: str, generator: np.random.Generator | None) -> Tensor:
        seed = sum(map(ord, media_id)) + (int(generator.integers(1000)) if generator is not None else 0)
        return random_frames(1, 2, seed=seed)[0]

    def check(self, media_ids: Iterable[str]) -> None:
        """Nothing can be missing."""

    def look_up(self, media_ids: Iterable[str]) -> None:
        """Nothing has to be found."""


random_clips = RandomClips()


def encoded(model: COSA, rows: int = 6, *, identities: list[int] | None = None, max_tokens: int = 20) -> EncodedBatch:
    ids = model.tokenizer.batch(CAPTIONS[:rows], max_tokens)
    videos = model.encode_video(random_frames(rows, 2))
    return EncodedBatch(model, ids, videos, torch.tensor(identities or list(range(rows))))


def encoded_questions(
    model: COSA, videos: VideoFeatures, ids: Tensor, answer_ids: Tensor, answer_position: int
) -> EncodedBatch:
    """Questions (rows, length) and answers (rows, answer length) on encoded videos, grouped by video."""
    rows = torch.arange(len(ids))
    source = Batch(
        "demo",
        ("qa",),
        tuple(map(str, rows)),
        torch.empty(0),
        rows,
        ids,
        answer_ids=answer_ids,
        answer_position=answer_position,
    )
    return EncodedBatch(model, ids, videos, rows, source=source)


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
