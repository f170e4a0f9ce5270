"""The baseline of captioning: one training caption for every clip."""

import random
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from pycocoevalcap.cider.cider_scorer import CiderScorer, cook_test

from cosa.errors import DataError
from cosa.evaluation.all_caption_metrics import quick_caption_metrics
from cosa.evaluation.caption_metrics import check_metrics, check_references, score_tokenized, started_scorers
from cosa.evaluation.caption_tokens import one_line, tokenize_captions

# Training captions that each candidate of the constant baseline is compared with.
BASELINE_REFERENCES = 100


def constant_caption_baseline(
    train_captions: Sequence[str],
    references: Mapping[str, Sequence[str]],
    metrics: Collection[str] | None = None,
    candidates: int = 100,
    seed: int = 0,
) -> tuple[str, dict[str, float]]:
    """The most central training caption, and its metrics when it is predicted for every clip of `references`.

    This is what captioning reaches without looking at the clips. Of at most `candidates` distinct training captions,
    drawn with `seed`, the one with the highest mean CIDEr against `BASELINE_REFERENCES` drawn training captions wins:
    each of these is an item with one reference, so common captions count as often as they occur; a candidate's own
    row is left out; the first drawn wins a tie. The test references have no part in the choice.

    Args:
        train_captions: blank ones are passed over.
        references: id -> at least one non-blank caption.
        metrics: some of `CAPTION_METRICS`; all that are not slow, if None.
        candidates: at least one.
        seed: of the draws.

    Raises:
        DataError: no non-blank training caption, fewer than one candidate, and the faults that `caption_metrics` names.
        UserError: the Java runtime fails.

    """
    metrics = quick_caption_metrics() if metrics is None else metrics
    check_metrics(metrics)
    check_references(references)
    texts = [text for text in map(one_line, train_captions) if text]
    if not texts or candidates < 1:
        raise DataError(
            f"The constant-caption baseline got {len(texts)} non-blank training captions and candidates={candidates}; "
            "expected at least one of each."
        )
    rows = random.Random(seed).sample(range(len(texts)), len(texts))
    sample_rows = rows[:BASELINE_REFERENCES]
    candidate_rows = _distinct(rows, texts)[:candidates]
    with started_scorers(metrics) as scorers:
        drawn = list(dict.fromkeys([*sample_rows, *candidate_rows]))
        flat_references = [text for captions in references.values() for text in captions]
        tokenized = iter(tokenize_captions([texts[row] for row in drawn] + flat_references))
        caption_of = {row: next(tokenized) for row in drawn}
        tokenized_references = {key: [next(tokenized) for _ in captions] for key, captions in references.items()}
        best = _most_central(candidate_rows, sample_rows, caption_of)
        predictions = {key: [caption_of[best]] for key in references}
        return texts[best], score_tokenized(predictions, tokenized_references, metrics, scorers).metrics


def _distinct(rows: Sequence[int], texts: Sequence[str]) -> list[int]:
    """One row per distinct text, from the end of the shuffle: in large sets, these are not among the sampled rows."""
    row_of: dict[str, int] = {}
    for row in reversed(rows):
        row_of.setdefault(texts[row].lower(), row)
    return list(row_of.values())


def _most_central(candidate_rows: Sequence[int], sample_rows: Sequence[int], caption_of: Mapping[int, str]) -> int:
    """Candidate with the highest mean CIDEr against the sampled captions, whose n-grams are counted once for all."""
    scorer = CiderScorer()
    for row in sample_rows:
        scorer.cook_append(None, [caption_of[row]])
    scorer.compute_doc_freq()
    best, best_score = candidate_rows[0], -1.0
    for candidate in candidate_rows:
        scorer.ctest = [cook_test(caption_of[candidate])] * len(sample_rows)
        scores = zip(sample_rows, scorer.compute_cider(), strict=True)
        others = [float(score) for row, score in scores if row != candidate]
        if others and np.mean(others) > best_score:
            best, best_score = candidate, float(np.mean(others))
    return best
