"""Text-to-video retrieval: contrastive similarity ranks all videos, matching re-ranks the best (paper, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cosa.behaviour import DEFAULT, Behaviour
from cosa.data.annotations import CaptionEntry
from cosa.data.batches import ClipSource
from cosa.distributed import gather_objects, rank, world_size
from cosa.evaluation.result import EvaluationResult, encode_clips, share_of_worker
from cosa.evaluation.retrieval_metrics import retrieval_metrics
from cosa.model import COSA, VideoFeatures
from cosa.text import VideoMemory
from cosa.training.settings import EvaluationSettings

TOP = 10  # videos named per text in the predictions


@dataclass(frozen=True)
class RetrievalScores:
    """Higher is a better match.

    similarities: (texts, videos) contrastive similarity. candidates: (texts, k) videos that matching re-scored, best first.
    reranked: (texts, videos) match probability of the candidates; the others stand behind them.
    """

    similarities: np.ndarray
    candidates: np.ndarray
    reranked: np.ndarray


@torch.no_grad()
def evaluate_retrieval(
    model: COSA,
    entries: Sequence[CaptionEntry],
    clips: ClipSource,
    settings: EvaluationSettings,
    max_text_tokens: int,
    device: torch.device,
    behaviour: Behaviour = DEFAULT,
) -> EvaluationResult:
    """Rank all videos for every caption. The work is divided over the workers by video; all get the whole result."""
    video_ids = [entry.video_id for entry in entries]
    texts = [caption for entry in entries for caption in entry.captions]
    found = score_retrieval(model, video_ids, texts, clips, settings, max_text_tokens, device, behaviour)
    owner = np.repeat(np.arange(len(entries)), [len(entry.captions) for entry in entries])  # video index of every text
    metrics = retrieval_metrics(found.reranked, owner, video_to_text=settings.video_to_text, ties=behaviour.ties)
    contrastive = retrieval_metrics(found.similarities, owner, ties=behaviour.ties)
    metrics |= {f"contrastive_{name}": contrastive[name] for name in ("text_to_video_r1", "text_to_video_r5")}
    order = np.argsort(-found.reranked, axis=1, kind="stable")[:, :TOP]
    predictions = [
        {
            "text": text,
            "video_id": video_ids[owner[row]],
            "ranked": [video_ids[i] for i in order[row]],
            "scores": [round(float(found.reranked[row, i]), 4) for i in order[row]],
        }
        for row, text in enumerate(texts)
    ]
    return EvaluationResult(metrics, predictions)


@torch.no_grad()
def score_retrieval(
    model: COSA,
    video_ids: Sequence[str],
    texts: Sequence[str],
    clips: ClipSource,
    settings: EvaluationSettings,
    max_text_tokens: int,
    device: torch.device,
    behaviour: Behaviour = DEFAULT,
) -> RetrievalScores:
    """Scores of all texts and videos, the same on all workers."""
    model.eval()
    mine = share_of_worker(len(video_ids), rank(), world_size())
    features = encode_clips(model, [video_ids[i] for i in mine], clips, settings.eval_batch_size, device)
    video_vectors = model.video_contrastive(_to(features, device)).cpu() if len(mine) else torch.empty(0)
    ids = model.tokenizer.batch(texts, max_text_tokens)
    text_vectors = _text_vectors(model, ids, settings.eval_batch_size, device)
    all_videos = torch.cat([part for part in gather_objects(video_vectors) if len(part)])
    if behaviour.half_features:
        text_vectors, all_videos = text_vectors.half().float(), all_videos.half().float()
    similarities = (text_vectors @ all_videos.T).numpy()  # (texts, videos)

    candidates = np.argsort(-similarities, axis=1, kind="stable")[:, : settings.rerank]  # (texts, k) video indices
    match = _match_scores(model, ids, features, mine, candidates, settings.eval_batch_size, device, behaviour)
    # Re-scored videos stand before all others, in the order of their match probability (0 to 1); the others (-1 to 1) keep
    # theirs: in float64 the shift makes no two different float32 similarities equal unless both are below 1e-7.
    scores = similarities.astype(np.float64) - 10.0
    if behaviour.unranked_score_zero:
        scores[:] = 0.0
    for part in gather_objects(match):
        texts_of_part, videos_of_part, values = part
        scores[texts_of_part, videos_of_part] = values
    return RetrievalScores(similarities, candidates, scores)


def _to(features: VideoFeatures, device: torch.device) -> VideoFeatures:
    return VideoFeatures(features.projected.to(device), features.pooled.to(device))


def _trim(ids: Tensor, pad_id: int) -> Tensor:
    return ids[:, : int((ids != pad_id).any(0).nonzero().max()) + 1]


def _text_vectors(model: COSA, ids: Tensor, batch_size: int, device: torch.device) -> Tensor:
    """(texts, contrastive_dim) on the CPU; every worker encodes its share of the texts."""
    share = share_of_worker(len(ids), rank(), world_size())
    parts = [
        model.text_contrastive(_trim(ids[chunk], model.tokenizer.pad_id).to(device)).cpu()
        for chunk in np.array_split(share, max(1, -(-len(share) // batch_size)))
        if len(chunk)
    ]
    return torch.cat([part for worker in gather_objects(parts) for part in worker])


def _match_scores(
    model: COSA,
    ids: Tensor,
    features: VideoFeatures,
    mine: np.ndarray,
    candidates: np.ndarray,
    batch_size: int,
    device: torch.device,
    behaviour: Behaviour,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match probabilities of the candidate pairs whose video this worker holds: text index, video index, probability.

    Pairs are taken video by video, so that keys and values of a video are computed once for all its texts.
    """
    text_index, place = np.nonzero(np.isin(candidates, mine))
    video_index = candidates[text_index, place]
    order = np.argsort(video_index, kind="stable")
    text_index, video_index = text_index[order], video_index[order]
    values = np.zeros(len(order), dtype=np.float64)
    local = {int(video): row for row, video in enumerate(mine)}
    videos, starts = np.unique(video_index, return_index=True)
    stops = np.append(starts[1:], len(order))
    for chunk in range(0, len(videos), batch_size):
        held = videos[chunk : chunk + batch_size]
        video_input = model.video_input(_to(features.select(torch.tensor([local[int(v)] for v in held])), device))
        memory = model.multimodal.video_memory(video_input.half().float() if behaviour.half_features else video_input)
        begin, end = starts[chunk], stops[min(chunk + batch_size, len(videos)) - 1]
        row_of = {int(video): row for row, video in enumerate(held)}
        for start in range(begin, end, batch_size):
            pairs = slice(start, min(start + batch_size, end))
            rows = torch.tensor([row_of[int(v)] for v in video_index[pairs]], device=device)
            values[pairs] = _match(model, ids[text_index[pairs]], memory, rows, device)
    return text_index, video_index, values


def _match(model: COSA, ids: Tensor, memory: VideoMemory, rows: Tensor, device: torch.device) -> np.ndarray:
    logits = model.matching_logits(_trim(ids, model.tokenizer.pad_id).to(device), memory.select(rows))
    return logits.cpu().double().softmax(-1)[:, 1].numpy()  # float32 would round many sure matches to 1 and so tie them
