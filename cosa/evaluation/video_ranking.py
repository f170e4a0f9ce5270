"""Text-to-video retrieval: contrastive similarity ranks all videos, matching re-ranks the best (paper, section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.annotations import CaptionEntry
from cosa.data.batches import ClipSource
from cosa.distributed import gather_objects, rank, world_size
from cosa.evaluation.encoding import encode_batches, share_of_worker
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.evaluation.feature_store import FeatureStore
from cosa.evaluation.retrieval_metrics import rank_metrics, text_to_video_ranks, video_to_text_ranks
from cosa.evaluation.scores import DualSoftmax, Reranked, Scores, Similarities, WithinGalleries, best_columns, chunks
from cosa.model import COSA, VideoFeatures

CONTRASTIVE = "contrastive_text_to_video"  # names what text-to-video retrieval was before re-ranking
TOP = 10  # videos named per text in the predictions
# What re-ranking holds at once: visual tokens, whose keys and values of all layers are kept, and tokens of texts in a pass.
VISUAL_TOKENS_AT_ONCE = 8192
TEXT_TOKENS_AT_ONCE = 1024


@dataclass(frozen=True)
class RetrievalScores:
    """Higher is a better match.

    similarities: (texts, videos) contrastive similarity, or its dual softmax over texts. reranked: (texts, videos) match
    probability of the candidates; the others stand behind them. to_texts: the same for ranking texts, where a dual softmax runs
    over videos. All are made in blocks when they are asked for. candidates: (texts, k) videos that matching re-scored, the most
    similar first.
    """

    similarities: Scores
    reranked: Scores
    to_texts: Scores
    candidates: NDArray[np.integer]


@dataclass(frozen=True)
class Galleries:
    """Numbers of the galleries that texts (texts,) and videos (videos,) belong to."""

    of_texts: NDArray[np.integer]
    of_videos: NDArray[np.integer]

    @classmethod
    def of(cls, videos: Sequence[int], owner: NDArray[np.integer]) -> Galleries:
        """videos: number of each video's gallery. owner: (texts,) index of each text's video."""
        of_videos = np.asarray(videos)
        return cls(of_videos[owner], of_videos)

    @property
    def largest(self) -> int:
        """Videos of the largest one."""
        return int(np.unique(self.of_videos, return_counts=True)[1].max())

    def mask(self, scores: Scores) -> Scores:
        """Scores that are -inf outside of a text's own gallery."""
        return WithinGalleries(scores, self.of_texts, self.of_videos)


@torch.no_grad()
def evaluate_retrieval(
    model: COSA,
    entries: Sequence[CaptionEntry],
    clips: ClipSource,
    *,
    rerank: int,
    video_to_text: bool,
    batch_size: int,
    max_text_tokens: int,
    device: torch.device,
    dual_softmax: bool = False,
    galleries: Sequence[int] | None = None,
    behaviour: Behaviour = DEFAULT,
) -> EvaluationResult:
    """Rank all videos for every caption. The workers share the work by video; all get the full result.

    Memory grows with the number of videos and of texts, not with their product, nor with frames.

    Args:
        model: the model.
        entries: the gallery, with the captions of every video.
        clips: frames of the videos.
        rerank: videos of every text that matching re-scores; from 2 on, recalls before re-ranking are among the metrics.
        video_to_text: also rank texts for every video.
        batch_size: videos or texts encoded at once.
        max_text_tokens: longest caption, tokens.
        device: of the model.
        dual_softmax: similarities are multiplied by their softmax over queries (`DualSoftmax`), before candidates are chosen.
        galleries: (videos,) number of the gallery that each video is in: a text is ranked among the videos of its own one. All
            videos are in one if it is None.
        behaviour: ours, or the published one.
    """
    video_ids = [entry.video_id for entry in entries]
    texts = [caption for entry in entries for caption in entry.captions]
    owner = np.repeat(np.arange(len(entries)), [len(entry.captions) for entry in entries])  # video index of every text
    found = score_retrieval(
        model, video_ids, texts, clips, rerank=rerank, batch_size=batch_size, max_text_tokens=max_text_tokens, device=device,
        dual_softmax=dual_softmax, within=None if galleries is None else Galleries.of(galleries, owner), behaviour=behaviour,
    )  # fmt: skip
    ranks = {"text_to_video": text_to_video_ranks(found.reranked, owner, ties=behaviour.ties)}
    if video_to_text:
        ranks["video_to_text"] = video_to_text_ranks(found.to_texts, owner, ties=behaviour.ties)
    metrics = {name: value for direction in ranks for name, value in rank_metrics(ranks[direction], direction).items()}
    if rerank > 1:  # one candidate alone keeps its place, and the same numbers would be shown twice
        ranks[CONTRASTIVE] = text_to_video_ranks(found.similarities, owner, ties=behaviour.ties)
        contrastive = rank_metrics(ranks[CONTRASTIVE], CONTRASTIVE)
        metrics |= {name: contrastive[name] for name in (f"{CONTRASTIVE}_r1", f"{CONTRASTIVE}_r5")}
    predictions = []
    for rows, scores in chunks(found.reranked):
        best = best_columns(scores, TOP)
        for row, ranked in enumerate(best, start=rows.start):
            columns = [i for i in ranked if np.isfinite(scores[row - rows.start, i])]  # Others are in other galleries.
            predictions.append(
                {
                    "text": texts[row],
                    "video_id": video_ids[owner[row]],
                    "ranked": [video_ids[i] for i in columns],
                    "scores": [round(float(scores[row - rows.start, i]), 4) for i in columns],
                }
            )
    return EvaluationResult(metrics, predictions, ranks)


@torch.no_grad()
def score_retrieval(
    model: COSA,
    video_ids: Sequence[str],
    texts: Sequence[str],
    clips: ClipSource,
    *,
    rerank: int,
    batch_size: int,
    max_text_tokens: int,
    device: torch.device,
    dual_softmax: bool = False,
    within: Galleries | None = None,
    behaviour: Behaviour = DEFAULT,
) -> RetrievalScores:
    """Scores of all texts and videos, the same on all workers; arguments as of `evaluate_retrieval`.

    within: the galleries of texts and videos; all are in one if it is None.
    """
    model.eval()
    mine = share_of_worker(len(video_ids), rank(), world_size())
    ids = model.tokenizer.batch(texts, max_text_tokens)
    text_vectors = encode_texts(model, ids, batch_size, device)
    with FeatureStore(len(mine)) as store:
        vectors = [torch.empty(0, text_vectors.shape[1])]  # a worker may have no videos
        for _, features in encode_batches(model, [video_ids[i] for i in mine], clips, batch_size, device):
            vectors.append(model.video_contrastive(features).float().cpu())
            store.add(features.projected)
        video_vectors = torch.cat(gather_objects(torch.cat(vectors)))
        if behaviour.half_features:
            text_vectors, video_vectors = text_vectors.half().float(), video_vectors.half().float()
        cosines = Similarities(text_vectors.numpy(), video_vectors.numpy())
        similarities, to_texts = _dual_softmax(cosines, float(model.temperature)) if dual_softmax else (cosines, cosines)
        if within is not None:
            similarities, to_texts, rerank = within.mask(similarities), within.mask(to_texts), min(rerank, within.largest)
        candidates = np.concatenate([best_columns(scores, rerank) for _, scores in chunks(similarities)])
        mine_matched = match_probabilities(model, ids, store, mine, candidates, device, behaviour)
    match = np.zeros(candidates.shape)
    for text_index, place, values in gather_objects(mine_matched):
        match[text_index, place] = values

    def rerank_by_match(scores: Scores) -> Scores:
        reranked = Reranked(scores, candidates, match, others_zero=behaviour.unranked_score_zero)
        return reranked if within is None else within.mask(reranked)  # Some candidates are of other galleries if it is small.

    return RetrievalScores(similarities, rerank_by_match(similarities), rerank_by_match(to_texts), candidates)


def _dual_softmax(cosines: Scores, temperature: float) -> tuple[Scores, Scores]:
    """For ranking videos, and for ranking texts."""
    return DualSoftmax.over_texts(cosines, temperature), DualSoftmax(cosines, temperature)


def _lengths(ids: Tensor, pad_id: int) -> np.ndarray:
    """(texts, length) to (texts,): tokens up to the last one that is not padding."""
    places = torch.arange(1, ids.shape[1] + 1)
    return ((ids != pad_id) * places).amax(1).numpy()


def encode_texts(model: COSA, ids: Tensor, batch_size: int, device: torch.device) -> Tensor:
    """(texts, contrastive_dim) on the CPU; every worker encodes its share of the texts, those of like length together."""
    share = share_of_worker(len(ids), rank(), world_size())
    lengths = _lengths(ids, model.tokenizer.pad_id)[share]
    vectors = torch.empty(len(share), model.config.contrastive_dim)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        chosen = ids[share[rows], : lengths[rows].max()]
        vectors[rows] = model.text_contrastive(chosen.to(device)).float().cpu()
    return torch.cat(gather_objects(vectors))


@torch.no_grad()
def match_probabilities(
    model: COSA,
    ids: Tensor,
    store: FeatureStore,
    mine: np.ndarray,
    candidates: np.ndarray,
    device: torch.device,
    behaviour: Behaviour = DEFAULT,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match probabilities of the candidate pairs whose video this worker holds: text index, place among the text's candidates,
    probability.

    Pairs are taken video by video, so that keys and values of a video are computed once for all its texts and never copied,
    and by length within a video, so that nothing is padded.
    """
    text_index, place = np.nonzero(np.isin(candidates, mine))
    video_index = candidates[text_index, place]
    lengths = _lengths(ids, model.tokenizer.pad_id)[text_index]
    order = np.lexsort((lengths, video_index))
    text_index, place, video_index, lengths = (x[order] for x in (text_index, place, video_index, lengths))
    local = {int(video): row for row, video in enumerate(mine)}
    values = np.zeros(len(order))
    for held, pairs in _blocks(video_index, store.tokens_of_one):
        features = store.select([local[int(video)] for video in held]).to(device)  # (videos, frames, tokens, hidden)
        video_input = model.video_input(VideoFeatures(features, features[..., 0, :]))
        memory = model.multimodal.video_memory(video_input.half().float() if behaviour.half_features else video_input)
        of_video = {int(video): memory.slice(row, row + 1) for row, video in enumerate(held)}
        for part in _passes(pairs, video_index, lengths):
            inputs = [
                model.for_first_state(ids[text_index[run], : lengths[run.start]].to(device), of_video[video_index[run.start]])
                for run in part
            ]
            hidden = torch.cat([output.hidden[:, 0] for output in model.multimodal.encode(inputs)])
            # float32 would round many sure matches to 1 and so tie them.
            values[part[0].start : part[-1].stop] = model.matching_head(hidden).cpu().double().softmax(-1)[:, 1].numpy()
    return text_index, place, values


def _blocks(video_index: np.ndarray, tokens_of_video: int) -> Iterator[tuple[np.ndarray, slice]]:
    """Sorted video indices of pairs in blocks: the videos that are held at once, and their pairs."""
    videos, first = np.unique(video_index, return_index=True)
    bounds = np.append(first, len(video_index))
    at_once = max(1, VISUAL_TOKENS_AT_ONCE // tokens_of_video) if len(videos) else 1
    for start in range(0, len(videos), at_once):
        stop = min(start + at_once, len(videos))
        yield videos[start:stop], slice(int(bounds[start]), int(bounds[stop]))


def _passes(pairs: slice, video_index: np.ndarray, lengths: np.ndarray) -> Iterator[list[slice]]:
    """Runs of pairs of one video and one length, as many as make a pass."""
    changes = np.flatnonzero((np.diff(video_index[pairs]) != 0) | (np.diff(lengths[pairs]) != 0)) + 1 + pairs.start
    part: list[slice] = []
    tokens = 0
    for start, stop in zip([pairs.start, *changes.tolist()], [*changes.tolist(), pairs.stop], strict=True):
        part.append(slice(start, stop))
        tokens += (stop - start) * int(lengths[start])
        if tokens >= TEXT_TOKENS_AT_ONCE:
            yield part
            part, tokens = [], 0
    if part:
        yield part
