"""CIDEr (Vedantam et al., 2015), with the scorer of pycocoevalcap."""

from pycocoevalcap.cider.cider import Cider

from cosa.evaluation.caption_scorers.scorer import CaptionScorer, ClipScores, TokenizedCaptions


class CiderScorer(CaptionScorer):
    """The clipped CIDEr-D form, as in all published results.

    It weighs n-grams by their rarity among the clips of the references: it depends on the full test set and is 0, by its
    definition, for a single clip.
    """

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`cider`, 0 to 10."""
        return dict(self.score_clips(predictions, references).corpus)

    def score_clips(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> ClipScores:
        """The metric is the mean over clips, each with weights of the full test set."""
        value, of_clips = Cider().compute_score(references, predictions)
        return ClipScores({"cider": float(value)}, {"cider": of_clips})
