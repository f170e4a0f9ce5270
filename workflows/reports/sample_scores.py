"""Reads the scores of single samples that an evaluation leaves, and says how certain a metric is, and a difference of two.

An evaluation writes `scores_<task>.parquet`: a row for each sample, with its name in `sample` and a column for each metric that
a sample has by itself. A column is used for a metric if its mean is the metric; others, such as BLEU, have no interval here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.results.inventory import StoredResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCORES = "scores_"  # how the names of such outputs begin, before that of the task
SAMPLE = "sample"  # the column that names a sample
CLOSE = 1e-6  # The mean of a column is a metric if both are equal to so many parts, because sums are rounded.
MEANS = {"mean_rank": "rank"}  # how a metric's name ends that is the mean of a column with another name, and that name's end


@dataclass(frozen=True)
class Interval:
    """Where a metric lies with 95 % certainty if other samples of the same kind are drawn. samples: how many there are."""

    low: float
    high: float
    samples: int


@dataclass(frozen=True)
class PairedDifference:
    """How much a second result is above a first one on the same samples (p: how likely so much is by chance, two-sided)."""

    difference: float
    low: float
    high: float
    p: float
    samples: int


def has_scores(result: StoredResult) -> bool:
    """Return whether a result has scores of single samples."""
    return any(_files(result))


def interval_of(result: StoredResult, metric: str) -> Interval | None:
    """Return the 95 % interval of a metric of a result; None if its samples do not tell."""
    from cosa.evaluation.intervals import bootstrap_interval

    values = _values_of(result, metric)
    if values is None or len(values) < 2:
        return None
    import numpy as np

    low, high = bootstrap_interval(np.fromiter(values.values(), dtype=np.float64))
    return Interval(float(low), float(high), len(values))


def paired_difference(first: StoredResult, second: StoredResult, metric: str) -> PairedDifference | None:
    """Test whether a metric differs between two results on the samples that both have; None if they share fewer than two."""
    from cosa.evaluation.intervals import paired_test

    one, other = _values_of(first, metric), _values_of(second, metric)
    both = [sample for sample in one if sample in other] if one is not None and other is not None else []
    if one is None or other is None or len(both) < 2:
        return None
    import numpy as np

    # The test looks at its first argument minus its second.
    found = paired_test(np.array([other[name] for name in both]), np.array([one[name] for name in both]))
    difference, low, high, p = map(float, found)
    return PairedDifference(difference, low, high, p, len(both))


def samples_of(result: StoredResult) -> Mapping[str, str]:
    """Return the names of all samples of a result with the clips or images that they are of; nothing without scores."""
    return {name: video for _, file in _files(result) for name, video in _table_in(file).videos.items()}


@dataclass(frozen=True)
class _Table:
    """What a file holds: the clip of every sample, and the columns of numbers, in the same order."""

    videos: Mapping[str, str]
    columns: Mapping[str, NDArray[np.float64]]


def _files(result: StoredResult) -> Iterator[tuple[str, Path]]:
    """Yield the files of scores of a result, each with its task."""
    for name, file in (result.manifest.outputs if result.manifest is not None else {}).items():
        if name.startswith(SCORES) and (result.folder / file).is_file():
            yield name.removeprefix(SCORES), result.folder / file


def _table_in(file: Path) -> _Table:
    return _table(file.resolve(), file.stat().st_mtime_ns)


@cache
def _table(file: Path, _written: int) -> _Table:
    """Read a file once. _written: when it was written."""
    import numpy as np
    import pyarrow.parquet
    import pyarrow.types

    table = pyarrow.parquet.read_table(file)
    videos = table["video_id"] if "video_id" in table.column_names else table[SAMPLE]
    columns = {
        field.name: table[field.name].to_numpy().astype(np.float64)
        for field in table.schema
        if pyarrow.types.is_floating(field.type) or pyarrow.types.is_integer(field.type)
    }
    return _Table(dict(zip(map(str, table[SAMPLE].to_pylist()), map(str, videos.to_pylist()), strict=True)), columns)


def _values_of(result: StoredResult, metric: str) -> dict[str, float] | None:
    """Return the values of a metric by sample, if its value is their mean; None if it is not, or if there are none."""
    task, _, own = metric.rpartition("/")
    value = result.manifest.metrics.get(metric) if result.manifest is not None else None
    if value is None:
        return None
    for name, file in _files(result):
        table = _table_in(file)
        column = table.columns.get(_column(own))
        if column is None or (task and task != name):
            continue
        known = {sample: float(one) for sample, one in zip(table.videos, column, strict=True) if math.isfinite(one)}
        if known and math.isclose(math.fsum(known.values()) / len(known), value, rel_tol=CLOSE, abs_tol=CLOSE):
            return known
    return None


def _column(metric: str) -> str:
    """Return the name of the column whose mean a metric is."""
    for end, instead in MEANS.items():
        if metric.endswith(end):
            return f"{metric.removesuffix(end)}{instead}"
    return metric
