"""How the tasks are evaluated."""

from typing import Annotated

from pydantic import Field, PositiveInt

from cosa.evaluation.caption_metrics import CAPTION_METRICS
from cosa.section import OneOf, Section, no_effect


class EvaluationSettings(Section):
    """How the tasks are evaluated (paper, section 4; published defaults)."""

    eval_batch_size: PositiveInt = no_effect(64, description="clips encoded at once in evaluation")
    rerank: PositiveInt = Field(50, description="videos of every text that matching re-scores")
    video_to_text: bool = Field(False, description="also rank texts for every video")
    beam_size: PositiveInt = Field(3, description="beams of a caption; answers are greedy")
    length_penalty: float = Field(0.6, ge=0, description="captions: log-probabilities are divided by length ** penalty")
    max_caption_tokens: PositiveInt = Field(40, description="longest generated caption, tokens")
    caption_metrics: tuple[Annotated[str, OneOf(CAPTION_METRICS)], ...] = Field(
        tuple(name for name, metric in CAPTION_METRICS.items() if metric.by_default),
        min_length=1,
        description="caption metrics to compute",
    )
    soft_accuracy: bool = Field(
        False, description="question answering: VQAv2's accuracy over ten human answers instead of exact match"
    )
