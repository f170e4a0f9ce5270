"""ITC: image/video-text contrastive loss over the batches of all workers (paper, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cosa.distributed import rank
from cosa.draws import Draws
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.objective_settings import ContrastiveSettings
from cosa.objectives.pending import Pending


def contrastive_loss(batch: EncodedBatch, settings: ContrastiveSettings, draws: Draws) -> Pending:  # noqa: ARG001
    """InfoNCE both ways with label smoothing; targets are the worker's own rows in the gathered batch.

    Its texts are encoded without videos, before all others: matching draws its negatives by their similarities.
    """
    loss = _contrastive(batch, settings)
    return Pending([], lambda _: loss)


def _contrastive(batch: EncodedBatch, settings: ContrastiveSettings) -> Tensor:
    to_video, to_text = batch.similarities
    rows = to_video.shape[0]
    targets = torch.arange(rows, device=to_video.device) + rank() * rows
    smoothing = settings.label_smoothing
    return (
        F.cross_entropy(to_video, targets, label_smoothing=smoothing)
        + F.cross_entropy(to_text, targets, label_smoothing=smoothing)
    ) / 2
