"""Encoding the clips of a split, and dividing them over workers."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from cosa.data.batches import ClipSource
from cosa.model import COSA, VideoFeatures


@torch.no_grad()
def encode_batches(
    model: COSA, media_ids: Sequence[str], clips: ClipSource, batch_size: int, device: torch.device
) -> Iterator[tuple[Sequence[str], VideoFeatures]]:
    """Identifiers and features of clips in evaluation (middle frames), `batch_size` at a time, on the device."""
    for start in range(0, len(media_ids), batch_size):
        part = media_ids[start : start + batch_size]
        frames = torch.stack([clips(media_id, None) for media_id in part])
        yield part, model.encode_video(frames.to(device, non_blocking=True))


def share_of_worker(count: int, rank: int, workers: int) -> np.ndarray:
    """Indices of the items that a worker takes: contiguous, as even as possible."""
    return np.array_split(np.arange(count), workers)[rank]
