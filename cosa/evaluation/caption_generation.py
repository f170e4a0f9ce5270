"""Captioning: generate one caption a clip and score it against the references (paper, section 4)."""

from collections.abc import Mapping, Sequence

import torch

from cosa.data.batches import ClipSource
from cosa.distributed import gather_objects, rank, world_size
from cosa.evaluation.caption_metrics import caption_scores, check_metrics, started_scorers
from cosa.evaluation.encoding import encode_batches, share_of_worker
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.generation import generate_captions
from cosa.model import COSA
from cosa.ops import packed_weights


@torch.no_grad()
def evaluate_captioning(
    model: COSA,
    references: Mapping[str, Sequence[str]],
    clips: ClipSource,
    *,
    metrics: Sequence[str],
    beam_size: int,
    length_penalty: float,
    max_tokens: int,
    batch_size: int,
    device: torch.device,
) -> EvaluationResult:
    """Caption every clip that has references, by beam search, and compute the caption metrics that are named.

    Args:
        model: the model.
        references: captions of every clip; if no clip has any, nothing is scored.
        clips: their frames.
        metrics: names in the table of caption metrics.
        beam_size: beams of a caption.
        length_penalty: log-probabilities are divided by length ** penalty.
        max_tokens: longest generated caption, tokens.
        batch_size: clips encoded at once.
        device: of the model.
    """
    check_metrics(metrics)
    model.eval()
    video_ids = list(references)
    mine = [video_ids[i] for i in share_of_worker(len(video_ids), rank(), world_size())]
    captions: dict[str, str] = {}
    scored = rank() == 0 and any(references.values())
    # Worker 0 scores for all. METEOR takes seconds to load, which it does while captions are generated.
    with started_scorers(metrics if scored else ()) as scorers:
        with packed_weights(model.multimodal):
            for chunk, features in encode_batches(model, mine, clips, batch_size, device):
                texts = generate_captions(
                    model, features, max_tokens=max_tokens, beam_size=beam_size, length_penalty=length_penalty
                )
                captions.update(zip(chunk, texts, strict=True))
        merged = {video_id: text for part in gather_objects(captions) for video_id, text in part.items()}
        scores = caption_scores(merged, references, metrics, scorers) if scored else None
    predictions = [
        {"video_id": video_id, "caption": merged[video_id], "references": list(references[video_id])} for video_id in video_ids
    ]
    return EvaluationResult(gather_objects(scores.metrics if scores is not None else {})[0], predictions, scores)
