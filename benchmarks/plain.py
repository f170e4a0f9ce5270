"""The same losses, texts and scores without anything clever: the oracle of tests, and what the benchmarks compare with.

Concatenated samples are joined as pixels and encoded again; every pass gets its own copy of the video and computes keys and
values anew; everything is padded to the limits; the language head runs at all positions; each generated token costs a pass
through all tokens before it. Passes go through transformers' own BERT, with the model's weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from transformers import BertConfig, BertModel

from cosa.data.batches import Batch
from cosa.data.concatenation import concatenated_text_limit
from cosa.draws import Draws
from cosa.encoders.text_config import TextConfig
from cosa.model import COSA, VideoFeatures
from cosa.objectives.all_objectives import OBJECTIVES
from cosa.objectives.answer_modelling import question_answer_mask
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.masked_language import masked_texts
from cosa.objectives.matching import SHARE_OF_CONCATENATED, draw_negatives
from cosa.objectives.objective_settings import ObjectiveSettings
from cosa.ops import use_fast_linear
from cosa.token_masking import IGNORED, MaskedTexts


def encode(model: COSA, ids: Tensor, mask: Tensor, video_input: Tensor | None = None) -> Tensor:
    """Hidden states (rows, length, hidden). mask: bool (rows, length) or (rows, length, length)."""
    mask = (mask[:, None] if mask.dim() == 2 else mask)[:, None].expand(-1, -1, ids.shape[1], -1)
    additive = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
    given = {"input_ids": ids, "attention_mask": additive, "encoder_hidden_states": video_input, "use_cache": False}
    bert = transformers_bert(model.config.text).train(model.training)
    found: Tensor = functional_call(bert, dict(model.multimodal.bert.named_parameters()), kwargs=given).last_hidden_state
    return found


@cache
def transformers_bert(config: TextConfig) -> BertModel:
    """transformers' BERT of these sizes, with cross-attention."""
    made = BertModel(
        BertConfig(
            vocab_size=config.vocabulary_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=config.max_position_embeddings,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            initializer_range=config.initializer_range,
            is_decoder=True,
            add_cross_attention=True,
        ),
        add_pooling_layer=False,
    )
    use_fast_linear(made)
    return made


def padded(ids: Tensor, length: int) -> Tensor:
    """Ids (rows, shorter) with padding up to a length."""
    return F.pad(ids, (0, length - ids.shape[1]))


@dataclass
class Samples:
    """Samples of a batch, single or concatenated: their captions padded to the limit, and their videos encoded anew.

    trimmed: (rows, length) captions without the padding, for which masks are drawn.
    """

    model: COSA
    trimmed: Tensor
    ids: Tensor
    features: VideoFeatures
    similarities: tuple[Tensor, Tensor] | None = None

    @property
    def video_input(self) -> Tensor:
        """(rows, frames * tokens, hidden)."""
        return self.model.video_input(self.features)

    def compare(self) -> tuple[Tensor, Tensor]:
        """Text-to-video and video-to-text similarities, both (rows, rows)."""
        if self.similarities is None:
            first = encode(self.model, self.ids, self.model.not_padding(self.ids))[:, 0]
            texts = F.normalize(self.model.text_contrastive_head(first), dim=-1)
            to_video = texts @ self.model.video_contrastive(self.features).T / self.model.temperature
            self.similarities = to_video, to_video.T
        return self.similarities


class PlainLosses:
    """All losses of a step, with the same draws as `StepLosses`."""

    def __init__(self, model: COSA, settings: ObjectiveSettings, max_text_tokens: int, max_answer_tokens: int = 10):
        self.model, self.settings = model, settings
        self.max_text_tokens, self.max_answer_tokens = max_text_tokens, max_answer_tokens

    def __call__(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """Scalars by name, as `StepLosses` gives them."""
        if batch.answer_ids is not None:
            return {"qa_loss": self._answers(batch, draws)}
        made: dict[bool, Samples] = {}
        losses: dict[str, Tensor] = {}
        for name in batch.objectives:
            joined = OBJECTIVES[name].concatenated
            if joined not in made:
                made[joined] = self._joined(batch) if joined else self._single(batch)
            losses[f"{name}_loss"] = self._loss(name.removeprefix("c") if joined else name, made[joined], batch, joined, draws)
        return losses

    def _single(self, batch: Batch) -> Samples:
        ids = padded(batch.ids, self.max_text_tokens)
        return Samples(self.model, batch.ids, ids, self.model.encode_video(batch.frames))

    def _joined(self, batch: Batch) -> Samples:
        assert batch.members is not None
        assert batch.concatenated_ids is not None
        frames = batch.frames[batch.members].flatten(1, 2)  # (rows, n * frames, 3, height, width)
        ids = padded(batch.concatenated_ids, concatenated_text_limit(self.max_text_tokens, batch.members.shape[1]))
        return Samples(self.model, batch.concatenated_ids, ids, self.model.encode_video(frames))

    def _loss(self, name: str, samples: Samples, batch: Batch, joined: bool, draws: Draws) -> Tensor:
        if name == "itc":
            targets, smoothing = torch.arange(len(samples.ids)), self.settings.label_smoothing
            both = [F.cross_entropy(scores, targets, label_smoothing=smoothing) for scores in samples.compare()]
            return (both[0] + both[1]) / 2
        if name == "itm":
            return self._matching(samples, batch.identities, SHARE_OF_CONCATENATED if joined else 1, draws)
        return self._masked(samples, draws, causal=name == "cap")

    def _matching(self, samples: Samples, identities: Tensor, share: int, draws: Draws) -> Tensor:
        model, ids, rows = self.model, samples.ids, max(1, len(samples.ids) // share)
        batch = EncodedBatch(model, ids, samples.features, identities)
        batch.__dict__["similarities"] = samples.compare()
        videos, texts = draw_negatives(batch, rows, draws)
        own = torch.arange(rows)
        text, video = torch.cat([own, own, texts]), torch.cat([own, videos, own])
        hidden = encode(model, ids[text], model.not_padding(ids[text]), samples.video_input[video])[:, 0]
        labels = torch.zeros(3 * rows, dtype=torch.long)
        labels[:rows] = 1
        return self.settings.itm_ratio * F.cross_entropy(model.matching_head(hidden), labels)

    def _masked(self, samples: Samples, draws: Draws, *, causal: bool) -> Tensor:
        model, limit = self.model, samples.ids.shape[1]
        probability = self.settings.captioning_probability if causal else self.settings.mlm_probability
        masked = masked_texts(model, samples.trimmed, probability, draws)
        not_padding = model.not_padding(samples.ids)
        mask = model.causal_mask(not_padding) if causal else not_padding
        hidden = encode(model, padded(masked.ids, limit), mask, samples.video_input)
        return self._language_loss(hidden, labels_of(masked, limit))

    def _language_loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        logits = self.model.multimodal.language_logits(hidden)  # (rows, length, vocabulary)
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)

    def _answers(self, batch: Batch, draws: Draws) -> Tensor:
        assert batch.answer_ids is not None
        model, limit = self.model, self.max_answer_tokens
        questions = padded(batch.ids, self.max_text_tokens)
        masked = masked_texts(model, batch.answer_ids, self.settings.answer_probability, draws)
        mask = question_answer_mask(model.not_padding(questions), model.not_padding(padded(batch.answer_ids, limit)))
        ids = torch.cat([questions, padded(masked.ids, limit)], dim=1)
        hidden = encode(model, ids, mask, model.video_input(model.encode_video(batch.frames)))
        return self._language_loss(hidden[:, self.max_text_tokens :], labels_of(masked, limit))


def labels_of(masked: MaskedTexts, length: int) -> Tensor:
    """(rows, length) original ids where masked, -100 elsewhere."""
    rows, most = masked.places.shape
    labels = torch.full((rows, length), IGNORED)
    flat = torch.full((rows * most,), IGNORED)
    flat[masked.predicted] = masked.targets
    is_masked = torch.zeros(rows * most, dtype=torch.bool)
    is_masked[masked.predicted] = True
    row = torch.arange(rows).repeat_interleave(most)
    labels[row[is_masked], masked.places.flatten()[is_masked]] = flat[is_masked]
    return labels


class PlainDecoder:
    """Stands in for `cosa.generation.Decoder`: every step reads all tokens of every beam again."""

    def __init__(self, model: COSA, video_input: Tensor, group: int, question_ids: Tensor | None = None):
        """question_ids: (rows, limit) padded to the longest question."""
        self.model = model
        self.videos = len(video_input)
        self.video_input = video_input.repeat_interleave(group, 0)
        self.rows = len(self.video_input)
        empty = torch.zeros(self.rows, 0, dtype=torch.long)
        self.question_ids = empty if question_ids is None else question_ids.repeat_interleave(group, 0)
        self.ids = empty
        self.visible = torch.ones(self.rows, 0, dtype=torch.bool)

    @property
    def memory(self) -> "PlainDecoder":
        """A search asks its decoder's memory how many videos there are."""
        return self

    def next_log_probabilities(self, newest: Tensor) -> Tensor:
        """As the real one."""
        model = self.model
        self.ids = torch.cat([self.ids, newest[:, None]], dim=1)
        answer = torch.cat([self.ids, torch.full_like(newest[:, None], model.tokenizer.mask_id)], dim=1)
        mask = question_answer_mask(model.not_padding(self.question_ids), torch.ones_like(answer, dtype=torch.bool))
        hidden = encode(model, torch.cat([self.question_ids, answer], dim=1), mask, self.video_input)
        return model.multimodal.language_logits(hidden)[:, -1].log_softmax(-1)

    def reorder(self, rows: Tensor) -> None:
        """As the real one."""
        self.ids, self.question_ids = self.ids[rows], self.question_ids[rows]


@torch.no_grad()
def match_scores(model: COSA, ids: Tensor, video_input: Tensor, pairs: Sequence[tuple[int, int]], batch_size: int) -> Tensor:
    """Match probabilities of (text, video) pairs: (pairs,). ids: padded to the limit."""
    found = []
    for start in range(0, len(pairs), batch_size):
        texts, videos = (torch.tensor(side) for side in zip(*pairs[start : start + batch_size], strict=True))
        hidden = encode(model, ids[texts], model.not_padding(ids[texts]), video_input[videos])
        found.append(model.matching_head(hidden[:, 0]).softmax(-1)[:, 1])
    return torch.cat(found)
