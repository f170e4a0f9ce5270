"""What each sample of an evaluation scored, in a form that can be stored, compared and resampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosa.errors import UserError
from cosa.evaluation.intervals import Floats, codes_of, interval_of, resampled_sums, with_counts

FromSums = Callable[[Floats], Mapping[str, Floats]]
MOST_PARTS = 10  # of a split that have figures of their own
OTHER = "other"
TOLERANCE = 1e-6  # share by which the mean of samples may differ from the metric: the order of adding up


@dataclass(frozen=True)
class Counts:
    """What metrics that are no mean of samples follow from, in a table of scores.

    columns: their names. from_sums: takes sums of the columns, (sets, columns), and gives metrics: (sets,).
    """

    columns: tuple[str, ...]
    from_sums: FromSums


@dataclass(frozen=True)
class Statistics:
    """What metrics that are no mean of samples follow from, after adding it up over samples.

    columns: (samples,) by name. metrics: their names. from_sums: takes sums, (resamples, columns), and gives each of these
    metrics: (resamples,).
    """

    columns: Mapping[str, NDArray[np.float64]]
    metrics: tuple[str, ...]
    from_sums: FromSums


@dataclass(frozen=True)
class SampleScores:
    """Scores of all samples, in the order of the predictions.

    samples: identifiers, unique in the split and the same for every model. video_ids: the clip of every sample. texts: further
    columns of text. values: by metric, in its unit, NaN where a sample has none; their mean is the metric, unless `statistics`
    give it. statistics: what the other metrics follow from. divided_by: a column of texts that names the part of the split that
    a sample belongs to, if figures of parts are wanted.
    """

    samples: Sequence[str]
    video_ids: Sequence[str]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    statistics: Sequence[Statistics] = ()
    divided_by: str | None = None

    def check(self, task: str, metrics: Mapping[str, float]) -> None:
        """Raise UserError unless columns are of one length, samples are unique, and means are the metrics."""
        lengths = {name: len(column) for name, column in self.texts.items()}
        lengths |= {name: len(column) for name, column in self.values.items()} | {"video_ids": len(self.video_ids)}
        for name, length in lengths.items():
            if length != len(self.samples):
                raise UserError(f"task {task} has {length} values of {name!r} for {len(self.samples)} samples")
        if len(set(self.samples)) != len(self.samples):
            raise UserError(f"task {task} gives two samples the same identifier; they have to be unique")
        for name in self.means(metrics):
            mean = float(np.nanmean(self.values[name]))
            if not np.isclose(mean, metrics[name], rtol=TOLERANCE, atol=TOLERANCE):
                raise UserError(f"task {task} gives {name} {metrics[name]}, but the mean of its samples is {mean}")

    def means(self, metrics: Mapping[str, float]) -> list[str]:
        """Those of the metrics that are the mean of samples."""
        others = {name for one in self.statistics for name in one.metrics}
        return [name for name in metrics if name in self.values and name not in others]

    def intervals(self, metrics: Mapping[str, float], seed: int = 0) -> dict[str, tuple[float, float]]:
        """95 % bootstrap intervals, clips drawn with all their samples; a metric that follows from neither has none."""
        if len(set(self.video_ids)) < 2:
            return {}
        clips, means = codes_of(self.video_ids).tolist(), self.means(metrics)
        found = {}
        if means:  # All in the same resamples.
            sums = resampled_sums(with_counts(self.values[name] for name in means), clips, seed)
            found = {name: interval_of(sums[:, 2 * i] / sums[:, 2 * i + 1]) for i, name in enumerate(means)}
        for one in self.statistics:
            table = np.stack([np.asarray(column, dtype=np.float64) for column in one.columns.values()], axis=1)
            resampled = one.from_sums(resampled_sums(table, clips, seed))
            found |= {name: interval_of(values) for name, values in resampled.items() if name in metrics}
        return {name: found[name] for name in metrics if name in found}

    def parts(self, metrics: Mapping[str, float], seed: int = 0) -> dict[str, dict[str, Any]]:
        """Means of each part of the split, the largest part first: `<metric>_<part>` to value, interval and samples.

        Parts beyond the `MOST_PARTS` largest are put together as "other".
        """
        if self.divided_by is None:
            return {}
        names = self.texts[self.divided_by]
        largest = [name for name, _ in Counter(names).most_common(MOST_PARTS)]
        of_samples = np.array([name if name in largest else OTHER for name in names])
        found = {}
        for name in dict.fromkeys([*largest, *of_samples.tolist()]):
            rows = np.flatnonzero(of_samples == name).tolist()
            for metric in self.means(metrics):
                part = SampleScores(
                    [self.samples[row] for row in rows],
                    [self.video_ids[row] for row in rows],
                    values={metric: self.values[metric][rows]},
                )
                value = float(np.nanmean(part.values[metric]))
                interval = part.intervals({metric: value}, seed).get(metric)
                found[f"{metric}_{'_'.join(name.split())}"] = {"value": value, "interval": interval, "samples": len(rows)}
        return found
