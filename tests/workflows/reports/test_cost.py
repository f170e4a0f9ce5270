"""Time, devices and samples of results."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.results.stored import stored
from workflows.reports.cost import cost_of
from workflows.results.inventory import StoredResult

FINETUNE: dict[str, Any] = {
    "kind": "finetune", "task": "retrieval", "dataset": "d", "epochs": 1.0, "batch_size": 8,
}  # fmt: skip


def test_workers_count_each_for_the_whole_time(tmp_path: Path) -> None:
    details = {"workers": [[{}], [{}, {}, {}, {}]], "steps": 100}
    folder = stored(tmp_path, "demo/train", "abc", section=FINETUNE, seconds=1800.0, details=details)
    cost = cost_of(StoredResult.at(folder))
    assert cost is not None
    assert (cost.seconds, cost.workers, cost.device_hours, cost.samples) == (1800, 4, 2.0, 800)


def test_pretraining_sees_the_batches_of_all_corpora(tmp_path: Path) -> None:
    corpora = [
        {"dataset": "d", "objectives": ["itc"], "steps": steps, "batch_size": size} for steps, size in ((30, 4), (10, 100))
    ]
    section = {"kind": "pretrain", "corpora": corpora}
    folder = stored(tmp_path, "demo/pre", "abc", kind="pretrain", section=section, details={"steps": 40})
    cost = cost_of(StoredResult.at(folder))
    assert cost is not None
    assert (cost.samples, cost.workers) == (30 * 4 + 10 * 100, 1)


def test_an_evaluation_trains_on_nothing(tmp_path: Path) -> None:
    folder = stored(tmp_path, "demo/test", "abc", kind="evaluate", section={"kind": "evaluate"}, seconds=36.0)
    cost = cost_of(StoredResult.at(folder))
    assert cost is not None
    assert (cost.samples, cost.device_hours) == (None, 0.01)


def test_trials_of_a_sweep_count_each_with_its_own_batches(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    trials = {"a": (8, 3600.0, 1, ""), "b": (16, 1800.0, 2, ""), "c": (32, 9999.0, 1, "an/earlier/result")}
    for name, (batch_size, seconds, workers, taken_from) in trials.items():
        known = {"name": name, "parameters": {"batch_size": batch_size}, "state": "finished", "taken_from": taken_from}
        line = {"kind": "train", "total": 10, "values": {"loss": 1.0}}
        lines = [{**line, "step": 5, "seconds": 0.0}, {**line, "step": 10, "seconds": seconds}]
        files[f"trials/{name}/trial.json"] = json.dumps(known).encode()
        files[f"trials/{name}/progress.jsonl"] = "".join(json.dumps(one) + "\n" for one in lines).encode()
        files[f"trials/{name}/workers.jsonl"] = (json.dumps([{}] * workers) + "\n").encode()
    section = {**FINETUNE, "sweep": {"batch_size": [8, 16, 32]}}
    folder = stored(tmp_path, "demo/train", "abc", section=section, seconds=3700.0, files=files)
    cost = cost_of(StoredResult.at(folder))
    assert cost is not None
    assert (cost.seconds, cost.workers, cost.samples) == (3700, 2, 80 + 160)
    assert cost.device_hours == pytest.approx(2.0)
