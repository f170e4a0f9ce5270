"""The table of scores: one row a sample, empty cells, and which columns are means."""

import json
from pathlib import Path

import numpy as np
from pyarrow import parquet

from cosa.evaluation.sample_scores import SampleScores, Statistics
from workflows.records.score_table import MEANS, write_scores


def test_rows_are_samples_in_their_order(tmp_path: Path) -> None:
    counts = Statistics({"right": np.array([3.0, 4.0])}, ("bleu1",), lambda sums: {"bleu1": sums[:, 0]})
    values = {"cider": np.array([1.5, np.nan]), "bleu1": np.ones(2)}
    scores = SampleScores(["b#1", "a#1"], ["b", "a"], {"caption": ["é \x00", ""]}, values, [counts])
    write_scores(tmp_path / "s.parquet", scores, {"cider": 1.5, "bleu1": 7.0})
    table = parquet.read_table(tmp_path / "s.parquet")
    assert table.to_pylist() == [
        {"sample": "b#1", "video_id": "b", "caption": "é \x00", "cider": 1.5, "bleu1": 1.0, "right": 3.0},
        {"sample": "a#1", "video_id": "a", "caption": "", "cider": None, "bleu1": 1.0, "right": 4.0},
    ]
    assert json.loads(table.schema.metadata[MEANS]) == ["cider"]
