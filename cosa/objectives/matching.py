"""ITM: does a text belong to a video? With one hard negative of each kind a row (paper, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cosa.config import ObjectiveSettings
from cosa.distributed import gather, rank, world_size
from cosa.model import EncodedBatch
from cosa.text import VideoMemory

SHARE_OF_CONCATENATED = 3  # on concatenated samples only the first third of the batch is matched (published code)
FLOOR = 1e-4  # added to the softmax of similarities, so that every negative stays possible
LAST_RESORT = 1e-12  # weight of rows that show the same media: drawn only when nothing else is left


def matching_loss(
    batch: EncodedBatch, settings: ObjectiveSettings, generator: torch.Generator | None, share: int = 1
) -> Tensor:
    """Cross-entropy of matched pairs against pairs with a hard negative video and with a hard negative text, times itm_ratio.

    Args:
        batch: the encoded batch.
        settings: constants.
        generator: source of the negatives, on the batch's device.
        share: use only the first 1/share of the rows.

    Returns:
        scalar loss. Row order: matched, negative video, negative text.
    """
    rows = batch.ids.shape[0] // share
    negative_videos, negative_texts = draw_negatives(batch, rows, generator)
    own = torch.arange(rows, device=batch.ids.device)
    ids, all_ids = batch.ids[:rows], _gather_padded(batch.ids, batch.model.tokenizer.pad_id)
    wrong_ids = all_ids[negative_texts]
    ids = F.pad(ids, (0, wrong_ids.shape[1] - ids.shape[1]), value=batch.model.tokenizer.pad_id)

    memory = batch.memory if share == 1 else batch.memory.select(own)
    # Matched and negative-text rows of one video run together on its one set of keys and values.
    on_own = batch.model.matching_logits(torch.stack([ids, wrong_ids], dim=1).flatten(0, 1), memory).unflatten(0, (rows, 2))
    on_wrong = batch.model.matching_logits(ids, _memory_of(batch, negative_videos))
    logits = torch.cat([on_own[:, 0], on_wrong, on_own[:, 1]]).float()  # (3 * rows, 2)
    labels = torch.zeros(3 * rows, dtype=torch.long, device=logits.device)
    labels[:rows] = 1
    return settings.itm_ratio * F.cross_entropy(logits, labels)


def matching_loss_on_concatenated(
    batch: EncodedBatch, settings: ObjectiveSettings, generator: torch.Generator | None
) -> Tensor:
    """`matching_loss` on the first third of the batch."""
    return matching_loss(batch, settings, generator, share=SHARE_OF_CONCATENATED)


def draw_negatives(batch: EncodedBatch, rows: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """For the first `rows` rows, the index in the gathered batch of a negative video of the text and a negative text of the
    video, drawn in proportion to the softmax of the similarities. Each (rows,)."""
    local = batch.ids.shape[0]
    own = torch.arange(local, device=batch.ids.device)
    same_media = batch.identities[:, None] == batch.all_identities[None]  # (local, all)
    drawn = []
    # The similarities are made with their gradients, whoever asks first: the contrastive loss takes the same ones.
    for similarities in batch.similarities:
        weights = similarities.detach().float().softmax(1) + FLOOR
        weights = torch.where(same_media, LAST_RESORT, weights)
        weights[own, own + rank() * local] = 0.0
        drawn.append(torch.multinomial(weights[:rows], 1, generator=generator)[:, 0])
    return drawn[0], drawn[1]


def _memory_of(batch: EncodedBatch, indices: Tensor) -> VideoMemory:
    """Memory of videos anywhere in the gathered batch; with one worker it is already there."""
    if world_size() == 1:
        return batch.memory.select(indices)
    return batch.model.video_memory(batch.all_videos.select(indices))


def _gather_padded(ids: Tensor, pad_id: int) -> Tensor:
    """Ids of all workers, (rows of all workers, longest of all)."""
    if world_size() == 1:
        return ids
    longest = int(gather(torch.tensor([ids.shape[1]], device=ids.device)).max())
    return gather(F.pad(ids, (0, longest - ids.shape[1]), value=pad_id))
