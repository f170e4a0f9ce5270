"""ROUGE-L (Lin, 2004), with the scorer of pycocoevalcap."""

from pycocoevalcap.rouge.rouge import Rouge

from cosa.errors import DataError
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, TokenizedCaptions

LARGEST_TABLE = 25_000_000  # words of a prediction times words of a reference: 200 MB


class RougeLScorer(CaptionScorer):
    """The longest common subsequence with the references, averaged over clips."""

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`rouge_l`, 0 to 1.

        Raises:
            DataError: the captions of a clip are too long to be compared.

        """
        for key, [prediction] in predictions.items():
            words, most = len(prediction.split()), max(len(text.split()) for text in references[key])
            if words * most > LARGEST_TABLE:
                raise DataError(
                    f"ROUGE-L cannot compare {words} words with {most} for clip {key!r}; shorten its captions, or leave out "
                    "the metric 'rouge_l'"
                )
        value, _ = Rouge().compute_score(references, predictions)
        return {"rouge_l": float(value)}
