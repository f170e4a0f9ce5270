"""All caption metrics in one table. To add one: a scorer in a file of `caption_scorers/`, a line here."""

from collections.abc import Iterable
from dataclasses import dataclass

from cosa.table import Table


@dataclass(frozen=True)
class CaptionMetric:
    """One caption metric; specs are checked with it, so the scorer is only named.

    label: as people write the metric. scorer: 'module:class' of the `CaptionScorer` that computes it, imported when used;
    metrics with the same scorer are computed together. is_slow: takes many seconds, so validation and the baseline leave it
    out. by_default: evaluation computes it if the spec does not say; fingerprints of older results hold exactly these.
    fewest_clips: with fewer, its value says nothing. CIDEr weighs words by the number of clips that lack them.
    """

    label: str
    scorer: str
    is_slow: bool = False
    by_default: bool = False
    lower_is_better: bool = False
    fewest_clips: int = 1


_SCORERS = "cosa.evaluation.caption_scorers"
CAPTION_METRICS: Table[CaptionMetric] = Table(
    "caption metric",
    {
        "bleu1": CaptionMetric("BLEU-1", f"{_SCORERS}.bleu:BleuScorer", by_default=True),
        "bleu2": CaptionMetric("BLEU-2", f"{_SCORERS}.bleu:BleuScorer", by_default=True),
        "bleu3": CaptionMetric("BLEU-3", f"{_SCORERS}.bleu:BleuScorer", by_default=True),
        "bleu4": CaptionMetric("BLEU-4", f"{_SCORERS}.bleu:BleuScorer", by_default=True),
        "meteor": CaptionMetric("METEOR", f"{_SCORERS}.meteor:MeteorScorer", is_slow=True, by_default=True),
        "rouge_l": CaptionMetric("ROUGE-L", f"{_SCORERS}.rouge_l:RougeLScorer", by_default=True),
        "cider": CaptionMetric("CIDEr", f"{_SCORERS}.cider:CiderScorer", by_default=True, fewest_clips=2),
        "spice": CaptionMetric("SPICE", f"{_SCORERS}.spice:SpiceScorer", is_slow=True),
    },
)


def default_caption_metrics() -> tuple[str, ...]:
    """Those that are computed if nobody says which."""
    return tuple(name for name, metric in CAPTION_METRICS.items() if metric.by_default)


def quick_caption_metrics(metrics: Iterable[str] = CAPTION_METRICS) -> tuple[str, ...]:
    """Those of the metrics that take no more than a few seconds, in the same order."""
    return tuple(metric for metric in metrics if not CAPTION_METRICS[metric].is_slow)
