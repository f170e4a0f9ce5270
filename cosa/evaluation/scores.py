"""Matrices of retrieval scores that are made a few rows at a time: texts x videos need never be in memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Cells made at once: bounds all temporary arrays to some tens of megabytes, whatever the size of the matrix.
CELLS_PER_CHUNK = 4_000_000
LAST = 1e6  # what dual softmax takes off similarities that are not positive
BEHIND = 10.0  # what re-ranking takes off the similarities (-1 to 1) of videos that it did not look at


class Scores(Protocol):
    """A matrix (texts, videos); higher is a better match."""

    @property
    def shape(self) -> tuple[int, int]:
        """(texts, videos)."""
        ...

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """Rows from `start` to before `stop`. The same call gives the same bits."""
        ...


@dataclass(frozen=True)
class DenseScores:
    """Scores that are in memory: (texts, videos)."""

    values: NDArray[np.floating]

    @property
    def shape(self) -> tuple[int, int]:
        """(texts, videos)."""
        return self.values.shape[0], self.values.shape[1]

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """A view."""
        return self.values[start:stop]


@dataclass(frozen=True)
class Similarities:
    """Dot products of texts (texts, dim) and videos (videos, dim)."""

    texts: NDArray[np.float32]
    videos: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """(texts, videos)."""
        return len(self.texts), len(self.videos)

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """(rows, videos) float32."""
        return self.texts[start:stop] @ self.videos.T


@dataclass(frozen=True)
class DualSoftmax:
    """Similarities times their softmax over the *other* axis (dual softmax: Cheng et al., 2021, "CAMoE", at test time).

    A video that is similar to many texts is so less of an answer to each of them: for text-to-video retrieval the softmax runs
    over all texts, for video-to-text over all videos, of similarities divided by the temperature. It thus uses all queries
    of the split at once. Scores are the logarithms of the products, since the products would underflow; a similarity that is
    not positive has no logarithm, and stays behind all others in its own order.

    similarities: cosines. log_sums: (videos,) what the softmax over texts divides by; None for the one over videos, which a row
    holds by itself.
    """

    similarities: Scores
    temperature: float
    log_sums: NDArray[np.float64] | None = None

    @classmethod
    def over_texts(cls, similarities: Scores, temperature: float) -> DualSoftmax:
        """For text-to-video retrieval. All similarities are made once more, in blocks: memory grows with texts and videos."""
        highest = np.full(similarities.shape[1], -np.inf)
        total = np.zeros(similarities.shape[1])
        for _, chunk in chunks(similarities):
            logits = chunk.astype(np.float64) / temperature
            higher = np.maximum(highest, logits.max(axis=0))
            total = total * np.exp(highest - higher) + np.exp(logits - higher).sum(axis=0)
            highest = higher
        return cls(similarities, temperature, highest + np.log(total))

    @property
    def shape(self) -> tuple[int, int]:
        """(texts, videos)."""
        return self.similarities.shape

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """(rows, videos) float64."""
        similarities = self.similarities.rows(start, stop).astype(np.float64)
        logits = similarities / self.temperature
        log_sums = self.log_sums
        if log_sums is None:
            highest = logits.max(axis=1, keepdims=True)
            log_sums = highest + np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
        is_positive = similarities > 0
        logarithms = np.log(similarities, where=is_positive, out=np.zeros_like(similarities))
        return np.where(is_positive, logarithms + logits - log_sums, similarities - LAST)


@dataclass(frozen=True)
class Reranked:
    """Candidates of every text stand before all other videos, by their match probability (0 to 1).

    similarities: at most 1. candidates, match: (texts, k). The others keep the order of `similarities`; with `others_zero`
    their score is 0.
    """

    similarities: Scores
    candidates: NDArray[np.integer]
    match: NDArray[np.float64]
    others_zero: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(texts, videos)."""
        return self.similarities.shape

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """(rows, videos) float64: the shift makes no two different float32 similarities equal unless both are below 1e-7."""
        if self.others_zero:
            scores = np.zeros((min(stop, self.shape[0]) - start, self.shape[1]))
        else:
            scores = self.similarities.rows(start, stop).astype(np.float64) - BEHIND
        np.put_along_axis(scores, self.candidates[start:stop], self.match[start:stop], axis=1)
        return scores


@dataclass(frozen=True)
class WithinGalleries:
    """Scores of texts and the videos of their own galleries; of all other videos they are -inf.

    of_texts, of_videos: numbers of galleries, (texts,) and (videos,).
    """

    scores: Scores
    of_texts: NDArray[np.integer]
    of_videos: NDArray[np.integer]

    @property
    def shape(self) -> tuple[int, int]:
        """(texts, videos)."""
        return self.scores.shape

    def rows(self, start: int, stop: int) -> NDArray[np.floating]:
        """(rows, videos), of the type of the scores."""
        return np.where(self.of_texts[start:stop, None] == self.of_videos, self.scores.rows(start, stop), -np.inf)


def chunks(scores: Scores) -> Iterator[tuple[slice, NDArray[np.floating]]]:
    """All rows in blocks of at most `CELLS_PER_CHUNK` cells (one row at least)."""
    texts, videos = scores.shape
    step = max(1, CELLS_PER_CHUNK // videos)
    for start in range(0, texts, step):
        rows = slice(start, min(start + step, texts))
        yield rows, scores.rows(rows.start, rows.stop)


def best_columns(scores: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    """Columns of the k highest scores of every row (rows, columns), best first, equal ones in index order: (rows, k)."""
    rows, columns = scores.shape
    if k >= columns:
        return np.argsort(-scores, axis=1, kind="stable")
    worst = np.partition(scores, columns - k, axis=1)[:, columns - k, None]  # (rows, 1) the k-th highest
    above, equal = scores > worst, scores == worst
    missing = k - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (equal.cumsum(axis=1) <= missing))  # k a row
    found = np.nonzero(chosen)[1].reshape(rows, k)
    order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)
