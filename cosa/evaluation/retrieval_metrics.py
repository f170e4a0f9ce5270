"""Recall, median and mean rank of text-video retrieval, computed from a matrix of scores."""

from collections.abc import Iterator, Sequence
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosa.errors import DataError
from cosa.evaluation.scores import DenseScores, Scores, chunks

RECALL_AT = (1, 5, 10)

Ties = Literal["pessimistic", "index"]


def retrieval_metrics(
    scores: NDArray[np.floating] | Scores,
    text_to_video: NDArray[np.integer],
    *,
    video_to_text: bool = False,
    ties: Ties = "pessimistic",
) -> dict[str, float]:
    """Text-to-video retrieval metrics and, on request, video-to-text ones.

    Args:
        scores: (texts, videos), higher is a better match; an array, or scores that are made in blocks. -inf is allowed, NaN
            is not.
        text_to_video: (texts,) column of the right video of each text; several texts may share a video.
        video_to_text: also rank the texts of each video; a video's rank is the best one among its own texts.
        ties: `pessimistic` ranks the right item behind all wrong items of equal score, so that constant scores earn
            nothing. `index` keeps the order of the columns (or rows), which is what the published code does.

    Returns:
        `text_to_video_r1`, `_r5`, `_r10` and their mean `_mean_r`, in percent and not rounded;
        `text_to_video_median_rank` and `_mean_rank`, where 1 is the best rank. The same with `video_to_text_`.

    Raises:
        DataError: wrong shapes or indices, an empty matrix, NaN, or (video_to_text) a video without a text.

    """
    metrics = rank_metrics(text_to_video_ranks(scores, text_to_video, ties=ties), "text_to_video")
    if video_to_text:
        metrics |= rank_metrics(video_to_text_ranks(scores, text_to_video, ties=ties), "video_to_text")
    return metrics


def rank_metrics(ranks: NDArray[np.int64], prefix: str) -> dict[str, float]:
    """Recalls, their mean, and the median and mean rank. ranks: from 1, of the queries of one direction."""
    recalls = {f"{prefix}_r{k}": 100.0 * float(np.mean(ranks <= k)) for k in RECALL_AT}
    return recalls | {
        f"{prefix}_mean_r": float(np.mean(list(recalls.values()))),
        f"{prefix}_median_rank": float(np.median(ranks)),
        f"{prefix}_mean_rank": float(np.mean(ranks)),
    }


def retrieval_chance(sizes: Sequence[int], ks: Sequence[int] = RECALL_AT) -> dict[str, float]:
    """Text-to-video recalls, in percent, and the ranks that random orders reach on average.

    The median rank is left out where galleries differ in size, since it has no simple form then.

    Args:
        sizes: of the gallery of each text, videos.
        ks: of the recalls.

    Raises:
        DataError: there is no text, or a gallery without a video.
    """
    if not len(sizes) or min(sizes) < 1:
        raise DataError("Retrieval among 0 videos has no chance level; expected at least one video.")
    recalls = {f"text_to_video_r{k}": 100.0 * float(np.mean([min(k / size, 1.0) for size in sizes])) for k in ks}
    middle = float(np.mean([(size + 1) / 2 for size in sizes]))
    chance = recalls | {"text_to_video_mean_r": float(np.mean(list(recalls.values()))), "text_to_video_mean_rank": middle}
    return chance | ({"text_to_video_median_rank": middle} if min(sizes) == max(sizes) else {})


def video_to_text_chance(texts_of: Sequence[int], ks: Sequence[int] = RECALL_AT) -> dict[str, float]:
    """The same for video-to-text retrieval, except for the median rank, which has no simple form.

    A video is found among the first k texts unless all of these are others': with m of T texts of its own, by the share
    C(T - m, k) / C(T, k) of the orders. Its rank, that of its best text, is (T + 1) / (m + 1) on average.

    Args:
        texts_of: texts of each video, at least one.
        ks: of the recalls.
    """
    total = sum(texts_of)
    recalls = {
        f"video_to_text_r{k}": 100.0 * float(np.mean([1 - comb(total - own, first) / comb(total, first) for own in texts_of]))
        for k, first in ((k, min(k, total)) for k in ks)
    }
    return recalls | {
        "video_to_text_mean_r": float(np.mean(list(recalls.values()))),
        "video_to_text_mean_rank": float(np.mean([(total + 1) / (own + 1) for own in texts_of])),
    }


def text_to_video_ranks(
    scores: NDArray[np.floating] | Scores, text_to_video: NDArray[np.integer], *, ties: Ties = "pessimistic"
) -> NDArray[np.int64]:
    """Rank, from 1, of the right video among all videos: (texts,). Arguments and errors as in `retrieval_metrics`."""
    scores, text_to_video = _checked(scores, text_to_video)
    ranks = np.empty(scores.shape[0], dtype=np.int64)
    columns = np.arange(scores.shape[1])
    for rows, chunk in _sound_chunks(scores):
        right = text_to_video[rows, None]  # (rows, 1)
        own = np.take_along_axis(chunk, right, axis=1)  # (rows, 1)
        equal = chunk == own
        if ties == "index":
            equal &= columns < right
            ranks[rows] = 1 + (chunk > own).sum(axis=1) + equal.sum(axis=1)
        else:  # The right video equals itself: that one takes the place of the "1 +".
            ranks[rows] = (chunk > own).sum(axis=1) + equal.sum(axis=1)
    return ranks


def video_to_text_ranks(
    scores: NDArray[np.floating] | Scores, text_to_video: NDArray[np.integer], *, ties: Ties = "pessimistic"
) -> NDArray[np.int64]:
    """Rank, from 1, of the best of a video's own texts among all texts: (videos,). As in `retrieval_metrics`."""
    scores, text_to_video = _checked(scores, text_to_video)
    num_texts, num_videos = scores.shape
    texts_of = np.bincount(text_to_video, minlength=num_videos)
    if not texts_of.all():
        first = int(np.flatnonzero(texts_of == 0)[0])
        raise DataError(
            f"{int((texts_of == 0).sum())} of {num_videos} videos have no text (first: column {first}); video-to-text "
            "retrieval needs at least one text for every video."
        )
    own = np.concatenate(
        [np.take_along_axis(chunk, text_to_video[rows, None], axis=1)[:, 0] for rows, chunk in _sound_chunks(scores)]
    )  # (texts,)
    best = np.full(num_videos, -np.inf, dtype=np.result_type(own, np.float16))  # (videos,)
    np.maximum.at(best, text_to_video, own)
    is_best = own == best[text_to_video]  # (texts,)
    first_best = np.full(num_videos, num_texts)  # (videos,) first own text with the best score
    np.minimum.at(first_best, text_to_video[is_best], np.flatnonzero(is_best))

    ranks = np.ones(num_videos, dtype=np.int64)
    for rows, chunk in _sound_chunks(scores):
        equal = chunk == best
        if ties == "index":
            equal &= np.arange(rows.start, rows.stop)[:, None] < first_best
        ranks += (chunk > best).sum(axis=0) + equal.sum(axis=0)
    if ties == "pessimistic":  # Own texts are right answers: an equal score among them is no tie to lose.
        ranks -= np.bincount(text_to_video[is_best], minlength=num_videos)
    return ranks


def _checked(scores: NDArray[np.floating] | Scores, text_to_video: NDArray[np.integer]) -> tuple[Scores, NDArray[np.integer]]:
    if isinstance(scores, np.ndarray):
        if scores.ndim != 2 or scores.dtype.kind not in "fiu":
            raise DataError(
                f"Retrieval scores of shape {scores.shape} and type {scores.dtype}; expected a non-empty matrix of real "
                "numbers, (texts, videos)."
            )
        scores = DenseScores(scores)
    if 0 in scores.shape:
        raise DataError(f"Retrieval scores of shape {scores.shape}; expected a non-empty matrix, (texts, videos).")
    text_to_video = np.asarray(text_to_video)
    if text_to_video.shape != (scores.shape[0],) or text_to_video.dtype.kind not in "iu":
        raise DataError(
            f"text_to_video of shape {text_to_video.shape} and type {text_to_video.dtype}; expected one integer, the "
            f"column of the right video, for each of the {scores.shape[0]} texts."
        )
    outside = np.flatnonzero((text_to_video < 0) | (text_to_video >= scores.shape[1]))
    if outside.size:
        raise DataError(
            f"Text {outside[0]} belongs to video {text_to_video[outside[0]]}, but the score matrix has columns "
            f"0..{scores.shape[1] - 1}."
        )
    return scores, text_to_video.astype(np.intp)


def _sound_chunks(scores: Scores) -> Iterator[tuple[slice, NDArray[np.floating]]]:
    """Blocks of complete rows, each checked for NaN (which would compare as "not better" and so flatter the metrics)."""
    for rows, chunk in chunks(scores):
        if np.isnan(chunk).any():
            row, column = np.argwhere(np.isnan(chunk))[0]
            raise DataError(
                f"The retrieval score of text {rows.start + row} and video {column} is NaN; the model that made it has "
                "diverged or its inputs are broken."
            )
        yield rows, chunk
