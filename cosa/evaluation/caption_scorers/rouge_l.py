"""ROUGE-L (Lin, 2004), with the scorer of pycocoevalcap."""

from pycocoevalcap.rouge.rouge import Rouge

from cosa.errors import DataError
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, ClipScores, TokenizedCaptions

LARGEST_TABLE = 25_000_000  # words of a prediction times words of a reference: 200 MB


class RougeLScorer(CaptionScorer):
    """The longest common subsequence with the references, averaged over clips."""

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`rouge_l`, 0 to 1.

        Raises:
            DataError: the captions of a clip are too long to be compared.

        """
        return dict(self.score_clips(predictions, references).corpus)

    def score_clips(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> ClipScores:
        """The metric is the mean over clips."""
        for key, [prediction] in predictions.items():
            words, most = len(prediction.split()), max(len(text.split()) for text in references[key])
            if words * most > LARGEST_TABLE:
                raise DataError(
                    f"ROUGE-L cannot compare {words} words with {most} for clip {key!r}; shorten its captions, or leave out "
                    "the metric 'rouge_l'"
                )
        value, of_clips = Rouge().compute_score(references, predictions)
        return ClipScores({"rouge_l": float(value)}, {"rouge_l": of_clips})
