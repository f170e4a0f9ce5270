"""Addresses of MLflow's pages, and the views that they open."""

import json
from typing import Any

import pytest

from workflows.records.mlflow_store import Sender, TrackingStore, local_store
from workflows.records.ui_pages import (
    MOST_COLUMNS,
    RESULTS_VIEW,
    VIEW_TAG,
    Comparison,
    comparison_url,
    comparison_view,
    experiment_url,
    results_view,
    start_url,
)

TRIALS = Comparison(
    "Trials of retrieval",
    "cosa-compare-retrieval-abc",
    "tags.`mlflow.parentRunId` = '{run}' AND tags.`cosa.stage_kind` = 'trial'",
    finals=("final/text_to_video_r1",),
    curves=("validation/text_to_video_r1", "train/loss"),
    fields=("learning_rate",),
    parent="local",
)
LONGEST_TAG = 20_000  # characters that MLflow takes


def state_of(view: tuple[str, str]) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(json.loads(view[1])["state"])
    return state


def test_addresses_open_the_classic_page() -> None:
    base = "http://127.0.0.1:5000"
    for address in (start_url(base), experiment_url(base, "1"), comparison_url(base, "1", TRIALS.key)):
        assert address.startswith(f"{base}/#/experiments")
        assert "workflowType=machine_learning" in address
    assert f"viewStateShareKey={RESULTS_VIEW}" in experiment_url(base, "1")
    assert "compareRunsMode=CHART" in comparison_url(base, "1", TRIALS.key)


def test_results_are_columns_as_many_as_a_page_shows() -> None:
    view = results_view([f"test/{'x' * 200}{i}" for i in range(100)], 1)
    assert view[0] == VIEW_TAG + RESULTS_VIEW
    assert len(state_of(view)["selectedColumns"]) == MOST_COLUMNS
    assert len(view[1]) < LONGEST_TAG


def test_trials_are_compared_by_the_metric_that_decides() -> None:
    view = comparison_view(TRIALS.plain(), "run7", 1)
    state = state_of(view)
    assert view[0] == f"{VIEW_TAG}cosa-compare-retrieval-abc"
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` = 'run7' AND tags.`cosa.stage_kind` = 'trial'"
    cards = [(card["type"], card.get("metricKey")) for card in state["compareRunCharts"]]
    assert cards == [
        ("PARALLEL", None),
        ("BAR", "final/text_to_video_r1"),
        ("LINE", "validation/text_to_video_r1"),
        ("LINE", "train/loss"),
    ]
    assert len({card["uuid"] for card in state["compareRunCharts"]}) == len(cards)
    assert {card["metricSectionId"] for card in state["compareRunCharts"]} == {state["compareRunSections"][0]["uuid"]}


@pytest.mark.parametrize("comparison", [None, TRIALS])
def test_a_page_is_a_tag_of_the_experiment(tmp_path: Any, comparison: Comparison | None) -> None:
    sender = Sender(TrackingStore(local_store(tmp_path), "demo", None), {"local": "run7"})
    plain = comparison.plain() if comparison is not None else None
    sender.send({"do": "page", "run": "", "parent": "local", "time": 1, "metrics": ["test/cider"], "comparison": plain})
    tags = sender._client.get_experiment(sender.experiment_id).tags
    assert "metrics.`test/cider`" in state_of(("", tags[VIEW_TAG + RESULTS_VIEW]))["selectedColumns"]
    assert (VIEW_TAG + TRIALS.key in tags) == (comparison is not None)
    assert tags["mlflow.experimentKind"] == "custom_model_development"
