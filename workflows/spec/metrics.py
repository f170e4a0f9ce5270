"""Names of the metrics that each task gives, so that a spec is checked without computing any."""

from __future__ import annotations

from workflows.spec.sections import TASK_METRIC, FinetuneSection, TrainSection

_RANKS = ("median_rank", "mean_rank")
_RETRIEVAL = ("r1", "r5", "r10", "mean_r", *_RANKS)
TEXT_TO_VIDEO = tuple(f"text_to_video_{name}" for name in _RETRIEVAL)
VIDEO_TO_TEXT = tuple(f"video_to_text_{name}" for name in _RETRIEVAL)
CONTRASTIVE = ("contrastive_text_to_video_r1", "contrastive_text_to_video_r5")  # before matching re-ranks
VALIDATION_CAPTIONS = ("bleu4", "cider")  # METEOR takes many seconds: it is left to evaluate stages

# What an evaluate stage can report. vqa_accuracy is VQAv2's, also where only its server knows it.
REPORTED: dict[str, tuple[str, ...]] = {
    "retrieval": (*TEXT_TO_VIDEO, *VIDEO_TO_TEXT, *CONTRASTIVE),
    "captioning": ("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge_l", "cider"),
    "question_answering": ("accuracy", "vqa_accuracy"),
}


MEAN_LOSS = "mean_loss"  # of the steps since the last stop of training


def main_metric(stage: TrainSection) -> str:
    """What a sweep of a stage chooses by, if it does not say."""
    return TASK_METRIC[stage.task] if isinstance(stage, FinetuneSection) else MEAN_LOSS


def validation_metrics(stage: TrainSection) -> tuple[str, ...]:
    """What is known at the stops of a training stage: its sweep can choose by any of these."""
    if not isinstance(stage, FinetuneSection):
        return (MEAN_LOSS,)
    if stage.task == "retrieval":
        return (*TEXT_TO_VIDEO, *(VIDEO_TO_TEXT if stage.video_to_text else ()), *CONTRASTIVE)
    return VALIDATION_CAPTIONS if stage.task == "captioning" else ("accuracy",)


def format_metric(metric: str, value: float) -> str:
    """As people read it: percentages and ranks with one digit behind the point, losses with three."""
    return f"{value:.3f}" if metric == MEAN_LOSS else f"{value:.1f}"


def lower_is_better(metric: str) -> bool:
    """Whether a metric is a loss or a rank."""
    return metric == MEAN_LOSS or metric.endswith(_RANKS)
