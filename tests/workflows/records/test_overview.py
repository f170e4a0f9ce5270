"""What the page of an experiment shows, chosen by what ran."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workflows.planning.step import Step
from workflows.records.overview import Overview
from workflows.records.run_table import StageRow
from workflows.results.manifest import Manifest
from workflows.stages.evaluate import EvaluateSection
from workflows.stages.finetune import FinetuneSection
from workflows.stages.prepare import PrepareSection

SWEEP = FinetuneSection.model_validate(
    {
        "kind": "finetune", "task": "retrieval", "dataset": "d", "epochs": 1, "batch_size": 2, "validation_split": "val",
        "sweep": {"learning_rate": [0.1, 0.3]},
    }
)  # fmt: skip
TEST = EvaluateSection.model_validate(
    {"kind": "evaluate", "checkpoint": "retrieval", "dataset": "d", "tasks": ["retrieval"], "eval_frames": 1}
)  # fmt: skip
STEPS = (
    Step("corpus", PrepareSection.model_validate({"kind": "prepare", "converter": "demo"}), "run", "", "f0"),
    Step("retrieval", SWEEP, "run", "", "f1"),
    Step("test", TEST, "run", "", "f2"),
)
STORAGE = Path("storage")


def overview(*, has_earlier: bool = False, made_in: str = "demo", sweep: str = "") -> Any:
    """That of a plan of three stages. made_in: the experiment whose results it has."""
    plan = SimpleNamespace(
        steps=STEPS, experiment=SimpleNamespace(name="demo"), storage=SimpleNamespace(folder=STORAGE / "demo"),
        result_of=lambda name: STORAGE / made_in / name / "f",
    )  # fmt: skip
    made: Any = Overview(plan, has_earlier=has_earlier, sweep=sweep)  # type: ignore[arg-type]
    return made


def manifest(step: Step, **metrics: float) -> Manifest:
    return Manifest("demo", step.name, step.kind, 1, str(step.fingerprint), {}, 1, metrics=metrics)


def full(**how: Any) -> Any:
    made = overview(**how)
    corpus, retrieval, test = STEPS
    assert made.add(corpus, manifest(corpus, clips=3)) == {}
    assert not made.is_whole
    assert made.add(retrieval, manifest(retrieval, text_to_video_r1=69.04321, final_loss=1.0)) == {
        "retrieval/text_to_video_r1": 69.04
    }
    shown = made.add(test, manifest(test, text_to_video_r1=57.0, text_to_video_r5=90.0, final_loss=1.0))
    assert shown == {"test/text_to_video_r1": 57.0, "test/text_to_video_r5": 90.0}
    assert made.is_whole
    return made


def rows(became: str) -> dict[str, StageRow]:
    return {"retrieval": StageRow("retrieval", "finetune", became, local_run="local", known_run="known")}


def test_columns_begin_with_evaluations() -> None:
    assert full().columns == ["test/text_to_video_r1", "retrieval/text_to_video_r1"]
    assert [row["metric"] for row in full().results] == ["text_to_video_r1", "text_to_video_r5"]


@pytest.mark.parametrize(
    ("became", "how", "key"),
    [
        ("run", {}, "cosa-compare-retrieval"),
        ("run", {"has_earlier": True}, "cosa-compare-retrieval"),
        ("reused", {"has_earlier": True}, "cosa-compare"),
        ("reused", {}, "cosa-compare-retrieval"),
        ("run", {"has_earlier": True, "sweep": "abc"}, "cosa-compare-variants"),
        ("reused", {"made_in": "other"}, None),  # The page shows no runs of other experiments.
        ("failed", {}, None),
    ],
)
def test_what_is_compared(became: str, how: dict[str, Any], key: str | None) -> None:
    found = full(**how).comparison(rows(became))
    assert (found.key if found is not None else None) == key


def test_an_invocation_without_results_compares_nothing() -> None:
    assert overview(has_earlier=True).comparison({}) is None


def test_charts_begin_with_what_ran() -> None:
    found = full(sweep="abc").comparison(rows("run"))
    assert found is not None
    assert found.finals == ("retrieval/text_to_video_r1", "test/text_to_video_r1")
