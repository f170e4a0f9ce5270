"""What each query of retrieval scored: its rank, and whether it is among the best."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosa.evaluation.numbered import numbered
from cosa.evaluation.retrieval_metrics import RECALL_AT
from cosa.evaluation.sample_scores import SampleScores


def query_scores(predictions: Sequence[Mapping[str, Any]], ranks: Mapping[str, NDArray[np.int64]]) -> SampleScores:
    """Scores of all texts.

    Args:
        predictions: of all texts, those of a clip beside one another.
        ranks: by direction, from 1: (texts,), or (videos,) in the order of their first text. What belongs to a clip stands in
            the row of its first text.
    """
    video_ids = [prediction["video_id"] for prediction in predictions]
    first_rows: dict[str, int] = {}
    for row, video_id in enumerate(video_ids):
        first_rows.setdefault(video_id, row)
    values: dict[str, NDArray[np.float64]] = {}
    for direction, of_queries in ranks.items():
        rank = np.full(len(predictions), np.nan)
        rank[slice(None) if len(of_queries) == len(predictions) else list(first_rows.values())] = of_queries
        has_rank = ~np.isnan(rank)
        recalls = {k: np.where(has_rank, 100.0 * (rank <= k), np.nan) for k in RECALL_AT}
        values |= {f"{direction}_rank": rank, f"{direction}_mean_rank": rank}
        values |= {f"{direction}_r{k}": recall for k, recall in recalls.items()}
        values[f"{direction}_mean_r"] = np.mean(list(recalls.values()), axis=0)
    texts = {
        "text": [prediction["text"] for prediction in predictions],
        "first_ranked": [prediction["ranked"][0] for prediction in predictions],
    }
    return SampleScores(numbered(video_ids), video_ids, texts, values)
