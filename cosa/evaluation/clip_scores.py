"""What each clip scored in captioning, and the counts that metrics of the full test set follow from."""

from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

import numpy as np

from cosa.evaluation.caption_metrics import CaptionScores
from cosa.evaluation.intervals import Floats
from cosa.evaluation.sample_scores import SampleScores, Statistics


def clip_scores(predictions: Sequence[Mapping[str, Any]], scores: CaptionScores) -> SampleScores:
    """Scores of all clips. predictions: of the clips, in the order of the scores."""
    video_ids = [prediction["video_id"] for prediction in predictions]
    texts = {"caption": [prediction["caption"] for prediction in predictions]}
    statistics = [_statistics(scorer, columns, scores.metrics) for scorer, columns in scores.statistics.items()]
    return SampleScores(video_ids, video_ids, texts, scores.clips, statistics)


def _statistics(scorer: str, columns: Mapping[str, Floats], metrics: Mapping[str, float]) -> Statistics:
    """What a scorer counts. scorer: 'module:class'."""
    from_sums = resolve_name(scorer).from_sums
    given = from_sums(np.ones((1, len(columns))))

    def in_percent(sums: Floats) -> dict[str, Floats]:
        return {name: 100.0 * values for name, values in from_sums(sums).items()}

    return Statistics(columns, tuple(name for name in given if name in metrics), in_percent)
