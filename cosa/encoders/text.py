"""One BERT that is text encoder, fusion encoder and decoder: without a video it skips its cross-attention, with one it uses it.

Its weights are in bert.py. The passes through them are driven here, because keys and values of a video are computed once a
layer and shared by every pass and decoding step that looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cosa.encoders.bert import Bert, BranchEnd, LanguageHead, TextLayer
from cosa.encoders.encoder_input import EncoderInput, EncoderOutput, PackedInputs, joined
from cosa.encoders.kv_cache import FrameKeys, KeysValues, KVCache, VideoMemory
from cosa.encoders.text_config import TextConfig
from cosa.ops import attend, dropout, feed_forward


class MultimodalEncoder(nn.Module):
    """BERT whose layers also have cross-attention, with its masked-language head tied to the word embeddings."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.bert = Bert(config)
        self.cls = LanguageHead(config, self.bert.embeddings.word_embeddings)
        self.gradient_checkpointing = False
        self._compiled: Callable[[Sequence[EncoderInput]], list[EncoderOutput]] | None = None

    def compile_encode(self, backend: str, *, fullgraph: bool) -> None:
        """Compile `encode` for training: one graph for all lengths. Generation, which keeps a cache, stays as it is."""
        self._compiled = torch.compile(self._encode, backend=backend, fullgraph=fullgraph, dynamic=True)

    @property
    def layers(self) -> Sequence[TextLayer]:
        """The layers, each self-attention, cross-attention, feed-forward."""
        return cast("Sequence[TextLayer]", self.bert.encoder.layer)

    @property
    def heads(self) -> int:
        """Attention heads a layer."""
        return self.config.num_attention_heads

    def split_heads(self, x: Tensor) -> Tensor:
        """(rows, positions, hidden) to (rows, heads, positions, head_dim)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def video_memory(self, video_input: Tensor) -> VideoMemory:
        """Keys and values of all layers for videos given as (videos, positions, hidden)."""
        found = [layer.within(_keys_values, video_input) for layer in self.layers]
        return VideoMemory(tuple((self.split_heads(keys), self.split_heads(values)) for keys, values in found))

    def frame_keys(self, projected: Tensor) -> FrameKeys:
        """Of frames (videos, frames, tokens, hidden) without their frame embeddings."""
        return FrameKeys(tuple(layer.within(_keys_values, projected) for layer in self.layers))

    def memory_of_frames(self, keys: FrameKeys, frame_embeddings: Tensor) -> VideoMemory:
        """The memory of videos whose frames have these embeddings (frames, hidden): `video_memory` of their sum."""
        layers = []
        for layer, pair in zip(self.layers, keys.layers, strict=True):
            of_keys, of_values = layer.within(_with_embeddings, *pair, frame_embeddings)
            layers.append((self.split_heads(of_keys.flatten(1, 2)), self.split_heads(of_values.flatten(1, 2))))
        return VideoMemory(tuple(layers))

    def forward(
        self,
        ids: Tensor,
        attention_mask: Tensor,
        memory: VideoMemory | None = None,
        *,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        """`encode` of one input: hidden states (rows, length, hidden), and keys and values of `ids`, one pair a layer."""
        [output] = self.encode([EncoderInput(ids, attention_mask, memory, positions=positions, cache=cache)])
        return output.hidden, output.keys_values

    def encode(self, inputs: Sequence[EncoderInput]) -> list[EncoderOutput]:
        """Encode several groups of texts in one pass; they need not be of one length, nor all look at videos.

        Linear layers see the tokens of all groups as rows of one matrix, so that the weights of a layer (and in the backward
        pass their gradients) travel through memory once. Attention stays within each group.
        """
        if self._compiled is None or not self.training or any(given.cache is not None for given in inputs):
            return self._encode(inputs)
        return self._compiled(inputs)

    def _encode(self, inputs: Sequence[EncoderInput]) -> list[EncoderOutput]:
        order = sorted(range(len(inputs)), key=lambda i: inputs[i].memory is None)  # those with videos come first
        packed = PackedInputs([inputs[i] for i in order])
        hidden = self.bert.embeddings(packed.ids, packed.positions)  # (tokens, hidden), through all layers
        keys_values: list[list[KeysValues]] = []
        for index, layer in enumerate(self.layers):
            step = self._last_layer if index + 1 == len(self.layers) else self._layer
            if self.gradient_checkpointing and self.training:
                hidden, new = checkpoint(layer.within, step, hidden, packed, index, use_reentrant=False)
            else:
                hidden, new = layer.within(step, hidden, packed, index)
            keys_values.append(new)
        outputs: list[EncoderOutput | None] = [None] * len(inputs)
        for place, (group, states) in enumerate(zip(order, hidden.split(packed.wanted_sizes), strict=True)):
            rows = inputs[group].ids.shape[0]
            outputs[group] = EncoderOutput(states.unflatten(0, (rows, -1)), [of_layer[place] for of_layer in keys_values])
        return [output for output in outputs if output is not None]

    def _layer(
        self, layer: TextLayer, hidden: Tensor, packed: PackedInputs, index: int, *, wanted: Tensor | None = None
    ) -> tuple[Tensor, list[KeysValues]]:
        """hidden: (tokens, hidden). wanted: (wanted tokens,) the tokens to continue with; all when left out."""
        attention = layer.attention.self
        asking = hidden if wanted is None else hidden.index_select(0, wanted)
        sizes = packed.sizes if wanted is None else packed.wanted_sizes
        parts = zip(
            packed.inputs,
            attention.query(asking).split(sizes),
            attention.key(hidden).split(packed.sizes),
            attention.value(hidden).split(packed.sizes),
            packed.masks if wanted is None else packed.wanted_masks,
            strict=True,
        )
        contexts: list[Tensor] = []
        new: list[KeysValues] = []
        for given, query, key, value, mask in parts:
            rows = given.ids.shape[0]
            keys, values = self._of_rows(key, rows), self._of_rows(value, rows)
            new.append((keys, values))
            if given.cache is not None:
                keys, values = given.cache.append(index, keys, values)
            contexts.append(self._attend(self._of_rows(query, rows), keys, values, mask))
        asking = self._merged(layer.attention.output, layer.attention.output.dense(joined(contexts)), asking)
        asking = self._look_at_videos(layer, asking, sizes, packed, index)
        wide = feed_forward(asking, layer.intermediate.dense, layer.output.dense)
        return self._merged(layer.output, wide, asking), new

    def _last_layer(
        self, layer: TextLayer, hidden: Tensor, packed: PackedInputs, index: int
    ) -> tuple[Tensor, list[KeysValues]]:
        """The last layer computes only what is wanted: nobody looks at the other tokens any more."""
        return self._layer(layer, hidden, packed, index, wanted=packed.wanted)

    def _look_at_videos(self, layer: TextLayer, hidden: Tensor, sizes: list[int], packed: PackedInputs, index: int) -> Tensor:
        looking = [given.memory for given in packed.inputs if given.memory is not None]
        if not looking:
            return hidden
        tokens = sum(sizes[: len(looking)])
        first = hidden[:tokens]
        contexts = []
        for memory, query in zip(looking, layer.crossattention.self.query(first).split(sizes[: len(looking)]), strict=True):
            # No mask hides any part of a video, so all rows of one video are one long row of queries.
            keys, values = memory.layers[index]
            contexts.append(self._attend(self._of_rows(query, memory.videos), keys, values, None))
        looked = self._merged(layer.crossattention.output, layer.crossattention.output.dense(joined(contexts)), first)
        return looked if tokens == len(hidden) else torch.cat([looked, hidden[tokens:]])

    def _merged(self, output: BranchEnd, branch: Tensor, hidden: Tensor) -> Tensor:
        """What a branch of a layer gave, joined to what went in: dropout, sum, norm. output: the module of the branch's end."""
        if self.training:
            branch = dropout(branch, self.config.dropout)
        merged: Tensor = output.LayerNorm(branch + hidden)
        return merged

    def _of_rows(self, x: Tensor, rows: int) -> Tensor:
        """(tokens, hidden) to (rows, heads, positions, head_dim)."""
        return self.split_heads(x.unflatten(0, (rows, -1)))

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of each row, as packed tokens (tokens, hidden)."""
        context = attend(query, keys, values, mask, self.config.dropout if self.training else 0.0)
        return context.transpose(1, 2).flatten(0, 1).flatten(1)

    def language_logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary). Call it with the positions that matter only: it is the widest layer of all."""
        logits: Tensor = self.cls(hidden)
        return logits


def _keys_values(layer: TextLayer, seen: Tensor) -> KeysValues:
    """Of cross-attention to what is seen, each of its shape (..., hidden)."""
    attention = layer.crossattention.self
    return attention.key(seen), attention.value(seen)


def _with_embeddings(layer: TextLayer, keys: Tensor, values: Tensor, frame_embeddings: Tensor) -> KeysValues:
    """Keys and values (videos, frames, tokens, hidden) with the part of the frame embeddings (frames, hidden) added."""
    attention = layer.crossattention.self
    return (
        keys + F.linear(frame_embeddings, attention.key.weight)[:, None],
        values + F.linear(frame_embeddings, attention.value.weight)[:, None],
    )
