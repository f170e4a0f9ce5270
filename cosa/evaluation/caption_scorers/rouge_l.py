"""ROUGE-L (Lin, 2004), with the scorer of pycocoevalcap."""

from pycocoevalcap.rouge.rouge import Rouge

from cosa.evaluation.caption_scorers.scorer import CaptionScorer, TokenizedCaptions


class RougeLScorer(CaptionScorer):
    """The longest common subsequence with the references, averaged over clips."""

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`rouge_l`, 0 to 1."""
        value, _ = Rouge().compute_score(references, predictions)
        return {"rouge_l": float(value)}
