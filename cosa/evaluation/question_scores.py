"""What each answer scored, with the type of its question."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cosa.evaluation.numbered import numbered
from cosa.evaluation.sample_scores import SampleScores


def question_scores(predictions: Sequence[Mapping[str, Any]], scores: Mapping[str, Sequence[Any]]) -> SampleScores:
    """Scores of all questions. scores: `accuracy`, 0 to 1, and `question_type`.

    A question is named by its identifier, or by its clip and its number in it where not all have one of their own.
    """
    identifiers = [prediction["question_id"] for prediction in predictions]
    video_ids = [prediction["video_id"] for prediction in predictions]
    named = None not in identifiers and len(set(identifiers)) == len(identifiers)
    texts = {column: [prediction[column] for prediction in predictions] for column in ("question", "answer")}
    return SampleScores(
        identifiers if named else numbered(video_ids),
        video_ids,
        texts | {"question_type": list(scores["question_type"])},
        {"accuracy": 100.0 * np.asarray(scores["accuracy"], dtype=np.float64)},
        divided_by="question_type",
    )
