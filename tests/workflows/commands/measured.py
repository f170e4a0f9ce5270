"""Two evaluations of the demo spec with figures and scores of single samples, as `cosa compare` and `report` find them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workflows.results.manifest import Manifest, read_manifest

SAMPLES = [f"v{number}#0" for number in range(40)]
WORSE = [100.0 * (number % 4 == 0) for number in range(40)]  # a quarter is right
BETTER = [100.0 * (number % 4 != 3) for number in range(40)]  # three quarters, and never wrong where the other is right


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def measure(
    folder: Path,
    values: Sequence[float] | None,
    *,
    samples: Sequence[str] = SAMPLES,
    metrics: Mapping[str, float] | None = None,
    task: str = "retrieval",
    column: str = "text_to_video_r1",
    **manifest: Any,
) -> Manifest:
    """Give a result figures of a task and, if there are values, scores of its samples."""
    found = read_manifest(folder)
    assert found is not None
    (folder / f"predictions_{task}.json").write_text(json.dumps([{"video_id": name.partition("#")[0]} for name in samples]))
    outputs = {f"predictions_{task}": f"predictions_{task}.json"}
    if values is not None:
        table = {"sample": list(samples), "video_id": [name.partition("#")[0] for name in samples], column: list(values)}
        pq.write_table(pa.table(table), folder / f"scores_{task}.parquet")
        outputs[f"scores_{task}"] = f"scores_{task}.parquet"
    figures = {**({column: mean(values)} if values is not None else {}), **(metrics or {})}
    known: dict[str, Any] = {
        "metrics": figures,
        "outputs": outputs,
        "baselines": {"text_to_video_r1": 2.5},
        "baseline_names": {"text_to_video_r1": "chance"},
        "details": {"measured": f"{len(samples)} clips, {len(samples)} queries"},
        "started": "2026-11-27T16:38:40+00:00",
        "seconds": 14.5,
        "host": "vm",
        "command": "python cli.py run-experiment spec.yaml --until test",
        "git": {"commit": "6135bc40ebd6edc8b7264ff72b3a618bca490c10", "dirty": "no"},
        "versions": {"torch": "2.14.1", "python": "3.11.2"},
        "mlflow_run_id": None,
    }
    measured = replace(found, **{**known, **manifest})
    measured.write(folder)
    return measured
