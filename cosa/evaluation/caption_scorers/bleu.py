"""BLEU-1 to BLEU-4 (Papineni et al., 2002), with the scorer of pycocoevalcap."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.bleu.bleu_scorer import BleuScorer as Counter

from cosa.evaluation.caption_scorers.scorer import CaptionScorer, ClipScores, TokenizedCaptions

ORDERS = (1, 2, 3, 4)
STATISTICS = (
    *(f"bleu_right_{n}" for n in ORDERS),
    *(f"bleu_guessed_{n}" for n in ORDERS),
    "bleu_length",
    "bleu_reference_length",
)
LEAST, LITTLE = 1e-15, 1e-9  # what pycocoevalcap adds to numerators and denominators, so that nothing is divided by 0


class BleuScorer(CaptionScorer):
    """All four from one count of n-grams; each prediction's brevity is judged by its closest reference."""

    statistics = STATISTICS

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`bleu1` to `bleu4`, 0 to 1."""
        return dict(self.score_clips(predictions, references).corpus)

    def score_clips(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> ClipScores:
        """Also each clip's own BLEU, whose mean is another number than the metric, and the counts that add up to the metric."""
        counter = Counter(n=len(ORDERS))
        for key, [prediction] in predictions.items():
            counter += (prediction, references[key])
        corpus, of_clips = counter.compute_score(option="closest", verbose=0)
        rows = [
            (*clip["correct"], *clip["guess"], clip["testlen"], _closest(clip["reflen"], clip["testlen"]))
            for clip in counter.ctest
        ]
        names = [f"bleu{n}" for n in ORDERS]
        return ClipScores(
            {name: float(value) for name, value in zip(names, corpus, strict=True)},
            dict(zip(names, of_clips, strict=True)),
            dict(zip(STATISTICS, np.asarray(rows, dtype=np.float64).T, strict=True)),
        )

    @classmethod
    def from_sums(cls, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """The geometric mean of the precisions, times exp(1 - reference length / length) where captions are too short."""
        right, guessed, length, reference = sums[:, :4], sums[:, 4:8], sums[:, 8], sums[:, 9]
        precisions = np.cumprod((right + LEAST) / (guessed + LITTLE), axis=1)  # (sets, 4)
        ratio = (length + LEAST) / (reference + LITTLE)
        brevity = np.exp(np.minimum(0.0, 1 - 1 / ratio))
        return {f"bleu{n}": np.power(precisions[:, n - 1], 1 / n) * brevity for n in ORDERS}


def _closest(lengths: list[int], length: int) -> int:
    """The length of a reference that is closest to the prediction's, the shorter of two."""
    return min((abs(one - length), one) for one in lengths)[1]
