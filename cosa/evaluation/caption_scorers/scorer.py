"""What every caption scorer is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

TokenizedCaptions = dict[str, list[str]]  # id -> tokenised captions, as the scorers of pycocoevalcap want them


@dataclass(frozen=True)
class ClipScores:
    """What a scorer says of a test set, and of every clip of it, as fractions.

    corpus: as of `CaptionScorer.score`. clips: by metric, in the order of the clips; their mean is the metric, unless
    `statistics` give it. statistics: (clips,) by name, what the scorer's `from_sums` makes its metrics of.
    """

    corpus: Mapping[str, float]
    clips: Mapping[str, Sequence[float] | NDArray[np.floating[Any]]] = field(default_factory=dict)
    statistics: Mapping[str, Sequence[float] | NDArray[np.floating[Any]]] = field(default_factory=dict)


class CaptionScorer(ABC):
    """Computes one caption metric, or several that share work.

    It is made before the captions are tokenised, so that a process it needs loads meanwhile, and it is always closed.

    statistics: names of the counts of every clip that `from_sums` makes metrics of; none where all are means of clips.
    """

    statistics: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> Mapping[str, float]:
        """Corpus-level values by their names in `CAPTION_METRICS`, as fractions: `caption_metrics` reports them times 100.

        Args:
            predictions: id -> list of one tokenised caption, which can be empty.
            references: the same ids in the same order -> at least one tokenised caption.

        """

    def score_clips(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> ClipScores:
        """The same, with what is known of every clip: nothing, unless the scorer says more."""
        return ClipScores(self.score(predictions, references))

    @classmethod
    def from_sums(cls, sums: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """The metrics of test sets whose `statistics` add up to `sums`: (sets, statistics) to (sets,), as fractions."""
        del sums
        return {}

    def close(self) -> None:  # noqa: B027
        """Free what the scorer holds; most hold nothing."""
