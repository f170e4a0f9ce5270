"""What evaluating one task gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from cosa.data.batches import ClipSource
from cosa.model import COSA, VideoFeatures


@dataclass(frozen=True)
class EvaluationResult:
    """metrics: in percent unless named otherwise. predictions: one record a query, ready for JSON.

    metrics and predictions are the same on all workers.
    """

    metrics: dict[str, float]
    predictions: list[dict[str, Any]] = field(default_factory=list)


@torch.no_grad()
def encode_batches(
    model: COSA, media_ids: Sequence[str], clips: ClipSource, batch_size: int, device: torch.device
) -> Iterator[VideoFeatures]:
    """Features of clips in evaluation (middle frames), `batch_size` at a time, on the device."""
    for start in range(0, len(media_ids), batch_size):
        frames = torch.stack([clips(media_id, None) for media_id in media_ids[start : start + batch_size]])
        yield model.encode_video(frames.to(device, non_blocking=True))


def share_of_worker(count: int, rank: int, workers: int) -> np.ndarray:
    """Indices of the items that a worker takes: contiguous, as even as possible."""
    return np.array_split(np.arange(count), workers)[rank]
