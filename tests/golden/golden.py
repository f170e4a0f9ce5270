"""A golden set: recorded numbers of the published code on small models. Every dimension is read from the set itself.

The folder is that of the environment variable COSA_GOLDEN, else the copy beside this file. Its semantics are described in
`README.md` here.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cosa.checkpoints.locate import PublishedFiles
from cosa.checkpoints.published import import_published
from cosa.checkpoints.published_names import ImportReport
from cosa.model import COSA
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.objective_settings import ObjectiveSettings

Encoder = Literal["swin", "clip"]
ENCODERS: tuple[Encoder, ...] = ("swin", "clip")
FOLDER = Path(os.environ.get("COSA_GOLDEN") or Path(__file__).parent / "data")

FEATURES = {"atol": 1e-4, "rtol": 0.0}  # features and logits
LOSS = {"rel": 1e-5}
GRADIENT = {"rel": 1e-3, "abs": 1e-6}


@cache
def load(name: str) -> Any:
    """A recorded file by its path in the set."""
    return torch.load(FOLDER / name, weights_only=True)


@cache
def config() -> dict[str, Any]:
    """config.json: dimensions, options, texts."""
    return json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))


def option(name: str) -> Any:
    """One of the options in config.json."""
    return config()["options"][name]


def folder_of(encoder: Encoder) -> str:
    """Name of the folder of one model in the set."""
    found = sorted(path.parent.name for path in FOLDER.glob(f"{encoder}*/model.pt"))
    assert len(found) == 1, f"{FOLDER} has {found} for {encoder}"
    return found[0]


def record(encoder: Encoder, name: str) -> Any:
    """A recorded file of one model."""
    return load(f"{folder_of(encoder)}/{name}.pt")


def names(encoder: Encoder, pattern: str) -> list[str]:
    """Files of one model that match a pattern, without their suffix."""
    return sorted(path.stem for path in (FOLDER / folder_of(encoder)).glob(f"{pattern}.pt"))


def imported(path: Path, **changes: Any) -> tuple[COSA, ImportReport]:
    """A published file as our model, in evaluation mode. A Swin without shifted windows does not tell its resolution."""
    if path.parent.name == folder_of("swin") and not any(name.endswith("attn_mask") for name in record("swin", "model")):
        changes.setdefault("resolution", option("video_resolution"))
    model, report = import_published(PublishedFiles(path), text_heads=config()["bert"]["num_attention_heads"], **changes)
    return model.eval(), report


def fresh_model(encoder: Encoder, **changes: Any) -> COSA:
    """The recorded model, for tests that change it or its gradients."""
    return imported(FOLDER / folder_of(encoder) / "model.pt", **changes)[0]


@cache
def model_of(encoder: Encoder) -> COSA:
    """The recorded model, shared: read only."""
    return fresh_model(encoder)


@cache
def pixels() -> Tensor:
    """(videos, frames, 3, height, width) uint8, all videos of the set."""
    return torch.from_numpy(np.load(FOLDER / "pixels.npz")["video_u8"])


def at_resolution(frames: Tensor, resolution: int) -> Tensor:
    """Frames (..., height, width) cropped at the top left, or wrapped around at the bottom and right, to another size."""
    side = frames.shape[-1]
    indices = torch.arange(resolution) % side
    return frames[..., indices, :][..., indices]


def padded(ids: Tensor, length: int) -> Tensor:
    """(rows, n) ids padded with 0 to (rows, length)."""
    return F.pad(ids, (0, length - ids.shape[1]))


def text_ids(encoder: Encoder, texts: Sequence[str], max_tokens: int) -> Tensor:
    """(texts, max_tokens) ids padded to the limit as the published code does."""
    return padded(model_of(encoder).tokenizer.batch(texts, max_tokens), max_tokens)


def settings() -> ObjectiveSettings:
    """Constants of the objectives in the set."""
    return ObjectiveSettings(
        itm_ratio=option("itm_ratio"),
        label_smoothing=option("label_smoothing"),
        mlm_probability=option("mask_prob")["mlm"],
        captioning_probability=option("mask_prob")["cap"],
        answer_probability=option("mask_prob")["qa"],
    )


class Video:
    """The recorded videos of one model, encoded once a test run."""

    def __init__(self, encoder: Encoder):
        self.encoder = encoder

    @cached_property
    @torch.no_grad()
    def tokens(self) -> Tensor:
        """(videos, frames, tokens, vision_dim) of all videos."""
        return model_of(self.encoder).encode_frames(pixels())

    @torch.no_grad()
    def features(self, videos: Sequence[int] | int) -> Any:
        """Features of some videos, or of the first ones."""
        rows = list(range(videos)) if isinstance(videos, int) else list(videos)
        return model_of(self.encoder).features_of(self.tokens[rows])

    @torch.no_grad()
    def memory(self, videos: Sequence[int] | int) -> Any:
        """Cross-attention keys and values of some videos."""
        return model_of(self.encoder).video_memory(self.features(videos))


@cache
def video_of(encoder: Encoder) -> Video:
    """Videos of one model."""
    return Video(encoder)


def batch_of(encoder: Encoder, ids: Tensor, **fields: Any) -> EncodedBatch:
    """The first videos with one text each, without gradients."""
    rows = len(ids)
    tokens = video_of(encoder).tokens[:rows]
    return EncodedBatch(model_of(encoder), ids, video_of(encoder).features(rows), torch.arange(rows), tokens=tokens, **fields)


# -- comparing --------------------------------------------------------------------------------------------------------


def close(found: Tensor, expected: Tensor) -> None:
    """Features and logits agree."""
    torch.testing.assert_close(found.float(), expected.float().reshape(found.shape), **FEATURES)


def checksums(tensor: Tensor) -> dict[str, float]:
    """norm, mean, population std, sum and the projection of the set's README, in float64."""
    flat = tensor.detach().double().flatten()
    waves = torch.cos(0.7 * torch.arange(flat.numel(), dtype=torch.float64) + 1.0)
    return {
        "norm": float(flat.norm()),
        "mean": float(flat.mean()),
        "std": float(flat.std(correction=0)),
        "sum": float(flat.sum()),
        "proj": float(flat @ waves),
    }


def same_checksums(tensor: Tensor, stats: Mapping[str, Any], tolerance: float = FEATURES["atol"]) -> None:
    """Checksums agree as closely as if every element were within a tolerance of the recorded one.

    A norm moves by at most tolerance * sqrt(n), and so do sums in which errors are independent.
    """
    if "shape" in stats:
        assert tensor.numel() == math.prod(stats["shape"])
    found = checksums(tensor)
    spread = tolerance * math.sqrt(tensor.numel())
    for name, allowed in {"norm": spread, "sum": spread, "proj": spread, "mean": tolerance, "std": tolerance}.items():
        if name in stats:
            assert abs(found[name] - stats[name]) <= allowed, f"{name}: {found[name]} instead of {stats[name]}"


def number_in(key: str) -> int:
    """The number in a recorded name such as 'every_13th_token'."""
    match = re.search(r"(\d+)(st|nd|rd|th)_", key)
    assert match is not None, key
    return int(match[1])


def key_with(found: Mapping[str, Any], part: str) -> str:
    """The one key that has a part."""
    keys = [key for key in found if part in key]
    assert len(keys) == 1, keys
    return keys[0]


def loss(expected: float) -> Any:
    """What a loss has to equal."""
    return pytest.approx(expected, **LOSS)


def gradient(expected: float) -> Any:
    """What the norm of a gradient has to equal."""
    return pytest.approx(expected, **GRADIENT)
