"""Writes the scores of all samples as a Parquet file, which other programs compare and resample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cosa.evaluation.sample_scores import SampleScores

MEANS = b"cosa.means"  # metadata: a JSON list of the metrics whose value is the mean of their column, empty cells left out


def write_scores(path: Path, scores: SampleScores, metrics: Mapping[str, float]) -> None:
    """One row a sample: `sample`, `video_id`, texts, a column for every score, and counts that other metrics add up from.

    A cell is empty where a sample has no such score.
    """
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, pa.Array] = {"sample": pa.array(scores.samples, pa.string())}
    columns["video_id"] = pa.array(scores.video_ids, pa.string())
    columns |= {name: pa.array(texts, pa.string()) for name, texts in scores.texts.items()}
    counted = {name: column for one in scores.statistics for name, column in one.columns.items()}
    for name, values in {**scores.values, **counted}.items():
        array = np.asarray(values, dtype=np.float64)
        columns[name] = pa.array(array, pa.float64(), mask=np.isnan(array))
    table = pa.table(columns).replace_schema_metadata({MEANS: json.dumps(scores.means(metrics)).encode()})
    parquet.write_table(table, path, compression="zstd")
