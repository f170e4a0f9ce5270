"""Captioning: generate one caption a clip and score it against the references (paper, section 4)."""

from collections.abc import Mapping, Sequence

import torch

from cosa.cpu.linear import packed_weights
from cosa.data.batches import ClipSource
from cosa.distributed import gather_objects, rank, world_size
from cosa.evaluation.caption_scoring import caption_metrics
from cosa.evaluation.encoding import encode_batches, share_of_worker
from cosa.evaluation.evaluation_result import EvaluationResult
from cosa.evaluation.evaluation_settings import EvaluationSettings
from cosa.generation import generate
from cosa.model import COSA


@torch.no_grad()
def evaluate_captioning(
    model: COSA,
    references: Mapping[str, Sequence[str]],
    clips: ClipSource,
    settings: EvaluationSettings,
    device: torch.device,
    metrics: Sequence[str] | None = None,
) -> EvaluationResult:
    """Caption every clip that has references, by beam search. `metrics` overrides the settings' choice."""
    model.eval()
    video_ids = list(references)
    mine = [video_ids[i] for i in share_of_worker(len(video_ids), rank(), world_size())]
    captions: dict[str, str] = {}
    with packed_weights(model.multimodal):
        for chunk, features in encode_batches(model, mine, clips, settings.eval_batch_size, device):
            memory = model.video_memory(features)
            texts = generate(
                model,
                memory,
                max_tokens=settings.max_caption_tokens,
                beam_size=settings.beam_size,
                length_penalty=settings.length_penalty,
            )
            captions.update({video_id: model.tokenizer.decode(ids) for video_id, ids in zip(chunk, texts, strict=True)})
    merged = {video_id: text for part in gather_objects(captions) for video_id, text in part.items()}
    # Scoring needs no model: worker 0 does it once and sends the scores to the others.
    scores = caption_metrics(merged, references, metrics or settings.caption_metrics) if rank() == 0 else {}
    predictions = [
        {"video_id": video_id, "caption": merged[video_id], "references": list(references[video_id])} for video_id in video_ids
    ]
    return EvaluationResult(gather_objects(scores)[0], predictions)
