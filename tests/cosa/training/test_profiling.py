"""Profiles of some steps: what is written, and that nothing else changes."""

import csv
import gzip
import json
from pathlib import Path

import pytest
import torch

from cosa.training.meter import LogRecord
from cosa.training.profiling import COSTS, LARGEST, TRACE, StepProfiler
from tests.cosa.training.test_loop import CPU, make_trainer, without_speed

STEPS = 8  # of two corpora


@pytest.mark.parametrize("left", [2, STEPS])
def test_costs_and_a_trace_are_written(tmp_path: Path, left: int) -> None:
    trainer = make_trainer(steps=STEPS // 2)
    trainer.step = STEPS - left
    with StepProfiler(tmp_path / "profile", CPU, left) as profiler:
        trainer.run(on_step=profiler.step)
    with (tmp_path / "profile" / COSTS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == LARGEST
    shares = [float(row["share"]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1.001
    assert any(row["operation"].startswith("aten::") for row in rows)
    assert all(float(row["calls a step"]) > 0 and float(row["CPU ms a step"]) > 0 for row in rows)
    with gzip.open(tmp_path / "profile" / TRACE, "rt", encoding="utf-8") as trace:
        names = {event.get("name", "") for event in json.load(trace)["traceEvents"]}
    assert any(name.startswith("ProfilerStep") for name in names)


def test_training_is_the_same(tmp_path: Path) -> None:
    found = []
    for left in (0, STEPS):  # Nothing is profiled if no steps are left.
        trainer = make_trainer(steps=STEPS // 2)
        records: dict[int, LogRecord] = {}
        with StepProfiler(tmp_path, CPU, left) as profiler:
            trainer.run(records.__setitem__, on_step=profiler.step)
        found.append((without_speed(records), trainer.losses.model.state_dict()))
    assert (tmp_path / COSTS).is_file()
    assert found[0][0] == found[1][0]
    assert all(torch.equal(value, found[1][1][name]) for name, value in found[0][1].items())


@pytest.mark.parametrize("left", [0, 1])
def test_too_few_steps_leave_nothing(tmp_path: Path, left: int) -> None:
    with StepProfiler(tmp_path / "profile", CPU, left) as profiler:
        profiler.step()
    assert not list(tmp_path.iterdir())
