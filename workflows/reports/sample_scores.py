"""Reads the scores of single samples that an evaluation leaves, and says how certain a metric is, and a difference of two.

An evaluation writes `scores_<task>.parquet`: a row for each sample, with its name in `sample`, its clip in `video_id` and a
column for each metric that a sample has by itself. A column is used for a metric if its mean is the metric; for others, such as
BLEU, the table has counts, from whose sums the task computes the metric. Clips are drawn, each with all of its samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cosa.tasks.all_tasks import TASKS
from workflows.records.intervals import INTERVALS
from workflows.results.inventory import StoredResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cosa.evaluation.sample_scores import FromSums

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
    """Return the 95 % interval of a metric of a result: the one that the evaluation computed, or else that of its samples.

    None if neither tells.
    """
    values = _values_of(result, metric)
    noted = result.manifest.details.get(INTERVALS, {}).get(metric) if result.manifest is not None else None
    if noted is not None:
        samples = len(values) if values is not None else len(samples_of(result))
        return Interval(float(noted[0]), float(noted[1]), samples)
    clips = _clips_of(result, values or ())
    if values is None or len(set(clips)) < 2:
        return None
    from cosa.evaluation.intervals import bootstrap_interval

    return Interval(*bootstrap_interval(list(values.values()), groups=clips), len(values))


def paired_difference(first: StoredResult, second: StoredResult, metric: str) -> PairedDifference | None:
    """Test whether a metric differs between two results on the samples that both have; None if they share no two clips."""
    one, other = _values_of(first, metric), _values_of(second, metric)
    if one is None or other is None:
        return _difference_by_counts(_counts_of(first, metric), _counts_of(second, metric), metric.rpartition("/")[2])
    both = [sample for sample in one if sample in other]
    clips = _clips_of(first, both)
    if len(set(clips)) < 2:
        return None
    from cosa.evaluation.intervals import paired_test

    # This is its first argument minus its second.
    found = paired_test([other[name] for name in both], [one[name] for name in both], groups=clips)
    return PairedDifference(*found, len(both))


@dataclass(frozen=True)
class _Counted:
    """Where the counts are that a metric follows from: columns of a task's table of scores. from_sums: makes it of sums."""

    task: str
    file: Path
    columns: tuple[str, ...]
    from_sums: FromSums = field(compare=False)


def _counts_of(result: StoredResult, metric: str) -> _Counted | None:
    """Return where the counts of a metric are, if their sums give its value; None if they do not, or if there are none."""
    task, _, own = metric.rpartition("/")
    value = result.manifest.metrics.get(metric) if result.manifest is not None else None
    for name, file in _files(result) if value is not None else ():
        counts = TASKS[name].counts(own) if name in TASKS and task in ("", name) else None
        columns = _table_in(file).columns
        if counts is None or not all(column in columns for column in counts.columns):
            continue
        sums = _stacked(columns, counts.columns).sum(axis=0, keepdims=True)
        if value is not None and math.isclose(float(counts.from_sums(sums)[own][0]), value, rel_tol=CLOSE, abs_tol=CLOSE):
            return _Counted(name, file, counts.columns, counts.from_sums)
    return None


def _difference_by_counts(first: _Counted | None, second: _Counted | None, metric: str) -> PairedDifference | None:
    """Test a metric that follows from counts; None without counts, or if the results share no two clips."""
    if first is None or second is None or first.task != second.task:
        return None
    found, samples = _tested_by_counts(first, second, *(one.file.stat().st_mtime_ns for one in (first, second)))
    return PairedDifference(*found[metric], samples) if found else None


@cache
def _tested_by_counts(
    first: _Counted, second: _Counted, *_written: int
) -> tuple[Mapping[str, tuple[float, float, float, float]], int]:
    """Test all metrics of the same counts at once; nothing if the results share no two clips. Also return how many samples."""
    from cosa.evaluation.paired_counts import paired_test_of_counts

    tables = [_table_in(one.file) for one in (first, second)]
    place = {sample: row for row, sample in enumerate(tables[1].videos)}
    rows = [(row, place[sample]) for row, sample in enumerate(tables[0].videos) if sample in place]
    clips = [clip for sample, clip in tables[0].videos.items() if sample in place]
    if len(set(clips)) < 2:
        return {}, len(rows)
    one, other = (_stacked(table.columns, first.columns)[[pair[side] for pair in rows]] for side, table in enumerate(tables))
    return paired_test_of_counts(other, one, first.from_sums, groups=clips), len(rows)  # its first minus its second


def _stacked(columns: Mapping[str, NDArray[np.float64]], names: Iterable[str]) -> NDArray[np.float64]:
    import numpy as np

    return np.stack([columns[name] for name in names], axis=1)


def samples_of(result: StoredResult) -> Mapping[str, str]:
    """Return the names of all samples of a result with the clips or images that they are of; nothing without scores."""
    return {name: video for _, file in _files(result) for name, video in _table_in(file).videos.items()}


def _clips_of(result: StoredResult, samples: Iterable[str]) -> list[str]:
    """Return the clip of each of some samples."""
    clips = samples_of(result)
    return [clips[sample] for sample in samples]


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

    table = pyarrow.parquet.ParquetFile(file).read()  # `read_table` would import pandas.
    videos = table["video_id"] if "video_id" in table.column_names else table[SAMPLE]
    columns = {
        field.name: np.array(table[field.name].to_pylist(), dtype=np.float64)
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
        column = table.columns.get(own, table.columns.get(_other_name(own)))
        if column is None or (task and task != name):
            continue
        known = {sample: float(one) for sample, one in zip(table.videos, column, strict=True) if math.isfinite(one)}
        if known and math.isclose(math.fsum(known.values()) / len(known), value, rel_tol=CLOSE, abs_tol=CLOSE):
            return known
    return None


def _other_name(metric: str) -> str:
    """Return the other name that the column may have whose mean a metric is."""
    for end, instead in MEANS.items():
        if metric.endswith(end):
            return f"{metric.removesuffix(end)}{instead}"
    return metric
