"""What every caption scorer is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

TokenizedCaptions = dict[str, list[str]]  # id -> tokenised captions, as the scorers of pycocoevalcap want them


class CaptionScorer(ABC):
    """Computes one caption metric, or several that share work.

    It is made before the captions are tokenised, so that a process it needs loads meanwhile, and it is always closed.
    """

    @abstractmethod
    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> Mapping[str, float]:
        """Corpus-level values by their names in `CAPTION_METRICS`, as fractions: `caption_metrics` reports them times 100.

        Args:
            predictions: id -> list of one tokenised caption, which can be empty.
            references: the same ids in the same order -> at least one tokenised caption.

        """

    def close(self) -> None:  # noqa: B027
        """Free what the scorer holds; most hold nothing."""
