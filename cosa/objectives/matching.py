"""ITM: does a text belong to a video? With one hard negative of each kind a row (paper, section 3.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cosa.distributed import rank, world_size
from cosa.draws import Draws
from cosa.encoders.encoder_input import EncoderInput
from cosa.encoders.kv_cache import VideoMemory
from cosa.model import COSA
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.objective_settings import MatchingSettings
from cosa.objectives.pending import Pending

SHARE_OF_CONCATENATED = 3  # on concatenated samples only the first third of the batch is matched (published code)
FLOOR = 1e-4  # added to the softmax of similarities, so that every negative stays possible
LAST_RESORT = 1e-12  # weight of rows that show the same media: drawn only when nothing else is left


def matching_loss(batch: EncodedBatch, settings: MatchingSettings, draws: Draws, share: int = 1) -> Pending:
    """Cross-entropy of matched pairs against pairs with a hard negative video and with a hard negative text, times itm_ratio.

    Args:
        batch: the encoded batch.
        settings: constants.
        draws: source of the negatives.
        share: use only the first 1/share of the rows, one at least.
    """

    def loss(hidden: Sequence[Tensor]) -> Tensor:
        logits = matching_logits(batch.model, hidden)
        labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        labels[: len(logits) // 3] = 1
        return settings.itm_ratio * F.cross_entropy(logits, labels)

    return Pending(matching_pairs(batch, draws, share), loss)


def matching_pairs(batch: EncodedBatch, draws: Draws, share: int = 1) -> list[EncoderInput]:
    """The pairs to be encoded: matched ones and those with a negative text, row by row, then those with a negative video."""
    model, rows = batch.model, max(1, batch.ids.shape[0] // share)
    negative_videos, negative_texts = draw_negatives(batch, rows, draws)
    pad_id = model.tokenizer.pad_id
    wrong_ids = batch.all_ids[negative_texts]
    ids = F.pad(batch.ids[:rows], (0, wrong_ids.shape[1] - batch.ids.shape[1]), value=pad_id)
    # Matched and negative-text rows of one video run together on its one set of keys and values.
    on_own = torch.stack([ids, wrong_ids], dim=1).flatten(0, 1)  # (2 * rows, length)
    return [
        model.for_first_state(on_own, batch.memory.slice(0, rows)),
        model.for_first_state(ids, _memory_of(batch, negative_videos)),
    ]


def matching_logits(model: COSA, hidden: Sequence[Tensor]) -> Tensor:
    """(3 * rows, 2) logits of matched pairs, then pairs with a negative video, then pairs with a negative text.

    hidden: of `matching_pairs`, (2 * rows, 1, hidden) and (rows, 1, hidden).
    """
    on_own, on_wrong = hidden[0].unflatten(0, (-1, 2)), hidden[1]  # (rows, 2, 1, hidden), (rows, 1, hidden)
    return model.matching_head(torch.cat([on_own[:, 0], on_wrong, on_own[:, 1]])[:, 0]).float()


def matching_loss_on_concatenated(batch: EncodedBatch, settings: MatchingSettings, draws: Draws) -> Pending:
    """`matching_loss` on the first third of the batch."""
    return matching_loss(batch, settings, draws, share=SHARE_OF_CONCATENATED)


def draw_negatives(batch: EncodedBatch, rows: int, draws: Draws) -> tuple[Tensor, Tensor]:
    """For the first `rows` rows, the index in the gathered batch of a negative video of the text and a negative text of the
    video, drawn in proportion to the softmax of the similarities. Each (rows,)."""
    to_video, to_text = negative_weights(batch)
    return draws.negatives(to_video[:rows]), draws.negatives(to_text[:rows])


def negative_weights(batch: EncodedBatch) -> tuple[Tensor, Tensor]:
    """Weights by which negative videos of the texts and negative texts of the videos are drawn, both (rows, rows of all)."""
    local = batch.ids.shape[0]
    own = torch.arange(local, device=batch.ids.device)
    same_media = batch.identities[:, None] == batch.all_identities[None]  # (local, all)
    found = []
    # The similarities are made with their gradients, whoever asks first: the contrastive loss takes the same ones.
    for similarities in batch.similarities:
        weights = similarities.detach().float().softmax(1) + FLOOR
        if not batch.behaviour.same_media_negatives:
            weights = torch.where(same_media, LAST_RESORT, weights)
        weights[own, own + rank() * local] = 0.0
        found.append(weights)
    return found[0], found[1]


def _memory_of(batch: EncodedBatch, indices: Tensor) -> VideoMemory:
    """Memory of videos anywhere in the gathered batch; with one worker it is already there, unless as constants."""
    if world_size() == 1 and not batch.behaviour.constant_keys:
        return batch.memory.select(indices)
    return batch.model.video_memory(batch.all_videos.select(indices))
