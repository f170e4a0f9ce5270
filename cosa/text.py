"""One BERT that is text encoder, fusion encoder and decoder: without a video it skips its cross-attention, with one it uses it.

The modules and their weights are transformers' own (so that its files load); the passes through them are driven here, because
keys and values of a video are computed once per layer and shared by every pass and decoding step that looks at it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLayer, BertOnlyMLMHead

from cosa.config import TextConfig
from cosa.errors import UserError

# Names of transformers' sizes and of ours. Another number of heads would fit the weights and yet be another model.
_SIZES = {
    name: name
    for name in (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings",
    )
} | {"vocab_size": "vocabulary_size"}  # fmt: skip

KeysValues = tuple[Tensor, Tensor]  # each (rows, heads, positions, head_dim)


@dataclass(frozen=True)
class VideoMemory:
    """Cross-attention keys and values of videos, one pair a layer, each (videos, heads, positions, head_dim)."""

    layers: tuple[KeysValues, ...]

    @property
    def videos(self) -> int:
        """Number of videos."""
        return self.layers[0][0].shape[0]

    def select(self, indices: Tensor) -> "VideoMemory":
        """Memory of the videos at `indices` (rows,), in that order, repeats allowed; gradients flow back."""
        return VideoMemory(tuple((k.index_select(0, indices), v.index_select(0, indices)) for k, v in self.layers))


class MultimodalEncoder(nn.Module):
    """BERT whose layers also have cross-attention, with its masked-language head tied to the word embeddings."""

    def __init__(self, config: TextConfig, *, load_pretrained: bool = True):
        super().__init__()
        self.config = config
        bert_config = BertConfig(
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
        )
        self.bert = BertModel(bert_config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(bert_config)
        self.cls.apply(self.bert._init_weights)
        if load_pretrained and config.pretrained is not False:
            self._load_pretrained()
        head = self.cls.predictions
        head.decoder.weight = self.bert.embeddings.word_embeddings.weight
        head.decoder.bias = head.bias
        self.gradient_checkpointing = False

    def _load_pretrained(self) -> None:
        """Weights through transformers: cross-attention layers are new and stay at their random start."""
        from transformers import BertForMaskedLM

        source = self.config.encoder if self.config.pretrained is True else str(self.config.pretrained)
        try:
            loaded = BertForMaskedLM.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise UserError(
                f"model.text.pretrained: BERT weights could not be loaded from {source!r} ({type(error).__name__}); "
                "give the folder of a downloaded model, or false for random weights"
            ) from error
        for theirs, ours in _SIZES.items():
            found, expected = getattr(loaded.config, theirs), getattr(self.config, ours)
            if found != expected:
                raise UserError(f"model.text.{ours}: {source!r} has {found}, the spec says {expected}; give {found}")
        missing, unexpected = self.bert.load_state_dict(
            {k: v for k, v in loaded.bert.state_dict().items() if not k.startswith("pooler.")}, strict=False
        )
        missing = [key for key in missing if "crossattention" not in key]
        if missing or unexpected:
            raise UserError(f"model.text.pretrained: {source!r} lacks {missing[:3]} and has unknown {unexpected[:3]}")
        self.cls.load_state_dict(loaded.cls.state_dict())

    @property
    def layers(self) -> Sequence[BertLayer]:
        """The layers, each self-attention, cross-attention, feed-forward."""
        return self.bert.encoder.layer

    @property
    def heads(self) -> int:
        """Attention heads a layer."""
        return self.config.num_attention_heads

    def split_heads(self, x: Tensor) -> Tensor:
        """(rows, positions, hidden) to (rows, heads, positions, head_dim)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def video_memory(self, video_input: Tensor) -> VideoMemory:
        """Keys and values of all layers for videos given as (videos, positions, hidden)."""
        layers = []
        for layer in self.layers:
            attention = layer.crossattention.self
            layers.append((self.split_heads(attention.key(video_input)), self.split_heads(attention.value(video_input))))
        return VideoMemory(tuple(layers))

    def forward(
        self,
        ids: Tensor,
        attention_mask: Tensor,
        memory: VideoMemory | None = None,
        *,
        positions: Tensor | None = None,
        past: Sequence[KeysValues] | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        """Hidden states after the last layer.

        Args:
            ids: (rows, length) token ids.
            attention_mask: bool, true where a query may look: (rows, past + length) for all queries alike, or
                (rows, length, past + length).
            memory: videos to attend to. `rows` is a multiple g of its videos; rows v*g to v*g+g-1 look at video v, and their
                cross-attention runs together, so that nothing of the video is copied.
            positions: (length,) or (rows, length) position numbers; counted from 0 when left out.
            past: keys and values of earlier positions, one pair a layer.

        Returns:
            hidden states (rows, length, hidden), and the keys and values of `ids`, one pair a layer (without the past).
        """
        if attention_mask.dim() == 2:
            attention_mask = attention_mask[:, None]
        attention_mask = attention_mask[:, None]  # (rows, 1, length or 1, past + length)
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device)
        if positions.dim() == 1:
            positions = positions[None]
        hidden = self.bert.embeddings(input_ids=ids, position_ids=positions)
        new: list[KeysValues] = []
        for index, layer in enumerate(self.layers):
            video = memory.layers[index] if memory is not None else None
            before = past[index] if past is not None else None
            if self.gradient_checkpointing and self.training:
                hidden, keys_values = checkpoint(self._layer, layer, hidden, attention_mask, video, before, use_reentrant=False)
            else:
                hidden, keys_values = self._layer(layer, hidden, attention_mask, video, before)
            new.append(keys_values)
        return hidden, new

    def _layer(
        self, layer: BertLayer, hidden: Tensor, mask: Tensor, video: KeysValues | None, past: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        attention = layer.attention.self
        keys, values = self.split_heads(attention.key(hidden)), self.split_heads(attention.value(hidden))
        all_keys = keys if past is None else torch.cat([past[0], keys], dim=2)
        all_values = values if past is None else torch.cat([past[1], values], dim=2)
        context = self._attend(self.split_heads(attention.query(hidden)), all_keys, all_values, mask)
        hidden = layer.attention.output(context, hidden)
        if video is not None:
            hidden = self._look_at_video(layer, hidden, video)
        return layer.feed_forward_chunk(hidden), (keys, values)

    def _look_at_video(self, layer: BertLayer, hidden: Tensor, video: KeysValues) -> Tensor:
        rows, length, _ = hidden.shape
        videos = video[0].shape[0]
        query = layer.crossattention.self.query(hidden)
        # No mask hides any part of a video, so all rows of one video are one long row of queries.
        query = self.split_heads(query.reshape(videos, rows // videos * length, -1))
        context = self._attend(query, *video, None).reshape(rows, length, -1)
        return layer.crossattention.output(context, hidden)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        dropout = self.config.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, dropout_p=dropout)
        return context.transpose(1, 2).flatten(2)  # (rows, length, hidden)

    def language_logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary). Call it with the positions that matter only: it is the widest layer of all."""
        return self.cls(hidden)
