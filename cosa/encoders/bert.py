"""BERT's modules and their random weights, with the names that transformers gives them, so that its files load as they are.

Each layer has cross-attention too. The passes through the layers are in text.py: they compute keys and values of a video once
and share them. Source of the architecture and of the random weights: Devlin et al., 2019 (github.com/google-research/bert).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosa.encoders.text_config import TextConfig

NORM_EPSILON = 1e-12
SEGMENTS = 2  # BERT tells two sentences apart; all texts here are of the first


class Bert(nn.Module):
    """Embeddings and layers, with random weights."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)
        draw_weights(self, config.initializer_range)


class Embeddings(nn.Module):
    """The first hidden states: of words, positions and segments."""

    def __init__(self, config: TextConfig):
        super().__init__()
        hidden = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocabulary_size, hidden, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, hidden)
        self.token_type_embeddings = nn.Embedding(SEGMENTS, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Token ids and position numbers, each (tokens,), to (tokens, hidden)."""
        words = self.word_embeddings(ids) + self.token_type_embeddings(ids.new_zeros(ids.shape))
        embedded: Tensor = self.dropout(self.LayerNorm(words + self.position_embeddings(positions)))
        return embedded


class Layers(nn.Module):
    """All layers, under the name that transformers gives them."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.layer = nn.ModuleList(TextLayer(config) for _ in range(config.num_hidden_layers))


class TextLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward: modules that are called from outside, one by one.

    Every use of its weights happens `within` it: sharded weights (cosa/training/sharding.py) are full only there.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.attention = Attention(hidden)
        self.crossattention = Attention(hidden)
        self.intermediate = Dense(hidden, inner)
        self.output = BranchEnd(inner, hidden)

    def within(self, work: Callable[..., Any], *inputs: Any) -> Any:
        """What a function of the layer and inputs gives."""
        return work(self, *inputs)


class Attention(nn.Module):
    """The weights of one attention, and the end of its branch."""

    def __init__(self, hidden: int):
        super().__init__()
        self.self = QueryKeyValue(hidden)
        self.output = BranchEnd(hidden, hidden)


class QueryKeyValue(nn.Module):
    """What attention compares and sums up, each (..., hidden) to (..., hidden)."""

    def __init__(self, hidden: int):
        super().__init__()
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)


class Dense(nn.Module):
    """A linear layer one name deeper."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)


class BranchEnd(Dense):
    """The last linear layer of a residual branch, and the norm of its sum with what went in."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=NORM_EPSILON)


class LanguageHead(nn.Module):
    """BERT's masked-language head; its last layer shares the weights of the word embeddings."""

    def __init__(self, config: TextConfig, word_embeddings: nn.Embedding):
        super().__init__()
        self.predictions = Predictions(config)
        draw_weights(self, config.initializer_range)
        self.predictions.decoder.weight = word_embeddings.weight
        self.predictions.decoder.bias = self.predictions.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary)."""
        transform = self.predictions.transform
        logits: Tensor = self.predictions.decoder(transform.LayerNorm(F.gelu(transform.dense(hidden))))
        return logits


class Predictions(nn.Module):
    """The weights of the head."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.transform = BranchEnd(config.hidden_size, config.hidden_size)
        self.decoder = nn.Linear(config.hidden_size, config.vocabulary_size)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))


def draw_weights(model: nn.Module, spread: float) -> None:
    """Random weights as BERT's: normal with this standard deviation, biases 0, the embedding of padding 0."""

    @torch.no_grad()
    def draw(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=spread)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])

    model.apply(draw)
