"""What evaluating one task gives."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EvaluationResult:
    """metrics: in percent unless named otherwise. predictions: one record a query, ready for JSON. scores: what the task's own
    `sample_scores` needs besides.

    metrics and predictions are the same on all workers; scores are complete on worker 0.
    """

    metrics: dict[str, float]
    predictions: list[dict[str, Any]] = field(default_factory=list)
    scores: Any = None
