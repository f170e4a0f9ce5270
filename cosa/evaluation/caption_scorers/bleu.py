"""BLEU-1 to BLEU-4 (Papineni et al., 2002), with the scorer of pycocoevalcap."""

from pycocoevalcap.bleu.bleu import Bleu

from cosa.evaluation.caption_scorers.scorer import CaptionScorer, TokenizedCaptions


class BleuScorer(CaptionScorer):
    """All four from one count of n-grams; each prediction's brevity is judged by its closest reference."""

    def score(self, predictions: TokenizedCaptions, references: TokenizedCaptions) -> dict[str, float]:
        """`bleu1` to `bleu4`, 0 to 1."""
        bleus, _ = Bleu(4).compute_score(references, predictions, verbose=0)
        return {f"bleu{n}": float(value) for n, value in enumerate(bleus, start=1)}
