"""MLM and captioning: predict masked tokens of a caption that looks at its video, bidirectionally or causally (section 3.2)."""

import torch.nn.functional as F
from torch import Tensor

from cosa.config import ObjectiveSettings
from cosa.draws import Draws
from cosa.masking import IGNORED
from cosa.model import COSA, EncodedBatch


def masked_language_loss(batch: EncodedBatch, settings: ObjectiveSettings, draws: Draws) -> Tensor:
    """Few tokens masked, every token sees the whole caption. Scalar."""
    return _masked_loss(batch, settings.mlm_probability, draws, causal=False)


def captioning_loss(batch: EncodedBatch, settings: ObjectiveSettings, draws: Draws) -> Tensor:
    """Most tokens masked, every token sees the earlier ones only: the model learns to generate. Scalar."""
    return _masked_loss(batch, settings.captioning_probability, draws, causal=True)


def _masked_loss(batch: EncodedBatch, probability: float, draws: Draws, *, causal: bool) -> Tensor:
    model = batch.model
    not_padding = model.not_padding(batch.ids)
    candidates = not_padding.clone()
    candidates[:, 0] = False
    ids, labels = draws.masks(
        batch.ids,
        candidates,
        probability,
        mask_id=model.tokenizer.mask_id,
        vocabulary_size=model.tokenizer.vocabulary_size,
    )
    mask = model.causal_mask(not_padding) if causal else not_padding
    hidden, _ = model.multimodal(ids, mask, batch.memory)
    return language_loss(model, hidden, labels)


def language_loss(model: COSA, hidden: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the masked positions; logits are computed there only.

    hidden: (rows, length, hidden). labels: (rows, length), -100 where nothing is predicted.
    """
    masked = labels != IGNORED
    return F.cross_entropy(model.multimodal.language_logits(hidden[masked]).float(), labels[masked])
