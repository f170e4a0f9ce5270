"""SCST: captions sampled from the model are rewarded by CIDEr against the caption of beam search (paper, section 4)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cosa.behaviour import DEFAULT, Behaviour
from cosa.draws import Draws
from cosa.encoders.kv_cache import VideoMemory
from cosa.generation import generate, sample
from cosa.generation_settings import GenerationSettings
from cosa.model import COSA
from cosa.objectives.encoded_batch import EncodedBatch
from cosa.objectives.pending import Pending
from cosa.objectives.preparation import Preparation
from cosa.tokenizer import CaptionTokenizer

LONGEST_NGRAM = 4
SIGMA = 6.0  # of the penalty on length differences
SCALE = 10.0

Vector = tuple[list[dict[tuple[int, ...], float]], list[float], int]


class CiderReward:
    """CIDEr-D of token ids, with document frequencies over the clips of the training split."""

    def __init__(self, references: Mapping[str, Sequence[Sequence[int]]]):
        """references: token ids of all captions of every training clip, as `reference_ids` makes them."""
        self._frequency: Counter[tuple[int, ...]] = Counter()
        counted = {clip: [_ngrams(ids) for ids in captions] for clip, captions in references.items()}
        for captions in counted.values():
            self._frequency.update({ngram for caption in captions for ngram in caption})
        self._log_clips = math.log(max(len(references), 2))
        self._references = {clip: [self._vector(caption) for caption in captions] for clip, captions in counted.items()}

    def __call__(self, media_ids: Sequence[str], captions: Sequence[Sequence[int]]) -> np.ndarray:
        """(captions,) rewards of one caption a clip, 0 to 10.

        Raises:
            KeyError: a clip without references.
        """
        scores = [
            self._score(self._vector(_ngrams(ids)), self._references[clip])
            for clip, ids in zip(media_ids, captions, strict=True)
        ]
        return np.array(scores)

    def _vector(self, ngrams: Counter[tuple[int, ...]]) -> Vector:
        """tf-idf weights and their norms by n-gram length, and the caption's length (counted in bigrams, as published)."""
        weights: list[dict[tuple[int, ...], float]] = [{} for _ in range(LONGEST_NGRAM)]
        for ngram, count in ngrams.items():
            rarity = self._log_clips - math.log(max(1.0, self._frequency[ngram]))
            weights[len(ngram) - 1][ngram] = count * rarity
        norms = [math.sqrt(sum(value**2 for value in of_length.values())) for of_length in weights]
        return weights, norms, sum(count for ngram, count in ngrams.items() if len(ngram) == 2)

    @staticmethod
    def _score(caption: Vector, references: Sequence[Vector]) -> float:
        total = 0.0
        for weights, norms, length in references:
            penalty = math.exp(-((caption[2] - length) ** 2) / (2 * SIGMA**2))
            for n in range(LONGEST_NGRAM):
                scale = caption[1][n] * norms[n]
                if scale:
                    shared = sum(
                        min(value, weights[n][ngram]) * weights[n][ngram]
                        for ngram, value in caption[0][n].items()
                        if ngram in weights[n]
                    )
                    total += penalty * shared / scale
        return SCALE * total / LONGEST_NGRAM / len(references)


def _ngrams(ids: Sequence[int]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(ids[start : start + n]) for n in range(1, LONGEST_NGRAM + 1) for start in range(len(ids) - n + 1))


def reference_ids(caption: str, tokenizer: CaptionTokenizer, behaviour: Behaviour = DEFAULT) -> tuple[int, ...]:
    """Token ids of a reference caption; published references have [CLS] and [SEP], which no generated caption has."""
    ids = tokenizer.ids(caption)
    return (tokenizer.start_id, *ids, tokenizer.end_id) if behaviour.references_with_special_tokens else ids


@dataclass(frozen=True)
class SelfCritical:
    """What self-critical training needs beside the model.

    max_tokens: longest sampled caption. beam_size: of the baseline.
    """

    reward: CiderReward
    max_tokens: int
    beam_size: int


def prepare_rewards(preparation: Preparation) -> SelfCritical:
    """Rewards by all captions of the training split."""
    settings: GenerationSettings = preparation.settings  # captions are generated in training as in evaluation
    references: dict[str, list[tuple[int, ...]]] = {}
    for one in preparation.samples:
        ids = reference_ids(one.caption, preparation.tokenizer, preparation.behaviour)
        references.setdefault(one.media_id, []).append(ids)
    return SelfCritical(CiderReward(references), settings.max_caption_tokens, settings.beam_size)


def self_critical_loss(batch: EncodedBatch, settings: SelfCritical, draws: Draws) -> Pending:
    """The loss, with the mean reward of the sampled captions for the record.

    Captions are sampled and searched without dropout; their log-probabilities are then computed in one pass with gradients.
    """
    assert batch.source is not None
    model, media_ids = batch.model, batch.source.media_ids
    memory = model.video_memory(batch.videos)
    was_training = model.training
    with torch.no_grad():
        model.train(was_training and batch.behaviour.sample_with_dropout)
        sampled = sample(model, memory, max_tokens=settings.max_tokens, draws=draws)
        model.eval()
        baseline = generate(model, memory, max_tokens=settings.max_tokens, beam_size=settings.beam_size)
    model.train(was_training)
    end_id = model.tokenizer.end_id
    texts = [ids[: ids.index(end_id)] if end_id in ids else ids for ids in sampled]
    rewards = settings.reward(media_ids, texts)
    advantage = torch.from_numpy(rewards - settings.reward(media_ids, baseline)).float().to(memory.layers[0][0].device)
    log_probabilities, present = sequence_log_probabilities(model, memory, sampled)
    loss = -(log_probabilities * advantage[:, None] * present).sum() / present.sum()
    reward = torch.tensor(rewards.mean(), dtype=torch.float32, device=loss.device)
    return Pending([], lambda _: loss, {"reward": reward})


def sequence_log_probabilities(model: COSA, memory: VideoMemory, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Log-probability of every token of texts as generation would see it, in one pass.

    Behind the texts stands one [MASK] for every position: it sees [CLS], the tokens before that position and itself, just as
    the [MASK] that generation appends.

    Returns:
        log-probabilities (texts, longest) and true where there is a token (texts, longest).
    """
    tokenizer, device = model.tokenizer, memory.layers[0][0].device
    targets = tokenizer.pad([list(text) or [tokenizer.end_id] for text in texts]).to(device)  # (texts, longest)
    rows, length = targets.shape
    present = targets != tokenizer.pad_id
    before = torch.cat([torch.full_like(targets[:, :1], tokenizer.start_id), targets[:, :-1]], dim=1)
    ids = torch.cat([before, torch.full_like(targets, tokenizer.mask_id)], dim=1)  # (texts, 2 * longest)
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    own = torch.eye(length, dtype=torch.bool, device=device)
    # Token t of `before` stands at position t, the [MASK] that predicts target t at position t + 1 and sees before[0..t].
    mask = torch.cat([torch.cat([causal, torch.zeros_like(own)], 1), torch.cat([causal, own], 1)], 0)
    steps = torch.arange(length, device=device)
    hidden, _ = model.multimodal(ids, mask.expand(rows, -1, -1), memory, positions=torch.cat([steps, steps + 1]))
    logits = model.multimodal.language_logits(hidden[:, length:][present]).float()
    chosen = logits.log_softmax(-1).gather(1, targets[present][:, None])[:, 0]
    result = torch.zeros(rows, length, device=device, dtype=chosen.dtype)
    return result.masked_scatter(present, chosen), present
