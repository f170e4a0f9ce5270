"""What each clip scored in captioning, and the counts that metrics of the full test set follow from."""

from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

import numpy as np

from cosa.evaluation.all_caption_metrics import CAPTION_METRICS
from cosa.evaluation.caption_metrics import CaptionScores
from cosa.evaluation.caption_scorers.scorer import CaptionScorer
from cosa.evaluation.intervals import Floats
from cosa.evaluation.sample_scores import Counts, FromSums, SampleScores, Statistics


def clip_scores(predictions: Sequence[Mapping[str, Any]], scores: CaptionScores) -> SampleScores:
    """Scores of all clips. predictions: of the clips, in the order of the scores."""
    video_ids = [prediction["video_id"] for prediction in predictions]
    texts = {"caption": [prediction["caption"] for prediction in predictions]}
    statistics = [_statistics(scorer, columns, scores.metrics) for scorer, columns in scores.statistics.items()]
    return SampleScores(video_ids, video_ids, texts, scores.clips, statistics)


def counts_of(metric: str) -> Counts | None:
    """The counts that a caption metric follows from; None if it is a mean of clips."""
    scorer = resolve_name(CAPTION_METRICS[metric].scorer)
    return Counts(scorer.statistics, _in_percent(scorer)) if scorer.statistics else None


def _statistics(scorer: str, columns: Mapping[str, Floats], metrics: Mapping[str, float]) -> Statistics:
    """What a scorer counts. scorer: 'module:class'."""
    from_sums = _in_percent(resolve_name(scorer))
    given = from_sums(np.ones((1, len(columns))))
    return Statistics(columns, tuple(name for name in given if name in metrics), from_sums)


def _in_percent(scorer: type[CaptionScorer]) -> FromSums:
    return lambda sums: {name: 100.0 * values for name, values in scorer.from_sums(sums).items()}
