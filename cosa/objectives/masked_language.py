"""MLM and captioning: predict masked tokens of a caption that looks at its video, bidirectionally or causally (section 3.2)."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from cosa.draws import Draws
from cosa.encoders.encoder_input import EncoderInput
from cosa.model import COSA
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.objective_settings import CaptionModellingSettings, MaskedLanguageSettings
from cosa.objectives.pending import Pending
from cosa.token_masking import MaskedTexts


def masked_language_loss(batch: EncodedBatch, settings: MaskedLanguageSettings, draws: Draws) -> Pending:
    """Few tokens masked, every token sees the full caption."""
    return _masked_loss(batch, settings.mlm_probability, draws, causal=False)


def captioning_loss(batch: EncodedBatch, settings: CaptionModellingSettings, draws: Draws) -> Pending:
    """Most tokens masked, every token sees the earlier ones only: the model learns to generate."""
    return _masked_loss(batch, settings.captioning_probability, draws, causal=True)


def _masked_loss(batch: EncodedBatch, probability: float, draws: Draws, *, causal: bool) -> Pending:
    model = batch.model
    texts = masked_texts(model, batch.ids_on_host, probability, draws).to(batch.ids.device)
    not_padding = model.not_padding(batch.ids)
    mask = model.causal_mask(not_padding) if causal else not_padding
    return Pending([EncoderInput(texts.ids, mask, batch.memory, wanted=texts.places)], language_loss(model, texts))


def masked_texts(model: COSA, ids: Tensor, probability: float, draws: Draws) -> MaskedTexts:
    """Mask tokens of texts (rows, length) on the host; never the first one, nor padding."""
    candidates = model.not_padding(ids)
    candidates[:, 0] = False
    tokenizer = model.tokenizer
    return draws.masks(ids, candidates, probability, mask_id=tokenizer.mask_id, vocabulary_size=tokenizer.vocabulary_size)


def language_loss(model: COSA, texts: MaskedTexts) -> Callable[[Sequence[Tensor]], Tensor]:
    """Mean cross-entropy over the masked positions, from hidden states (rows, most masked, hidden) at `texts.places`."""

    def loss(hidden: Sequence[Tensor]) -> Tensor:
        predicted = hidden[0].flatten(0, 1).index_select(0, texts.predicted)  # (masked, hidden)
        return F.cross_entropy(model.multimodal.language_logits(predicted).float(), texts.targets)

    return loss
