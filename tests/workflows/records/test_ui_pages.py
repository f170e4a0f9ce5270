"""Addresses of MLflow's pages, and the views that they open."""

import json
from dataclasses import replace
from typing import Any

from workflows.records.mlflow_store import Sender, TrackingStore, local_store
from workflows.records.ui_pages import (
    COMPARISON_VIEW,
    LONGEST_TAG,
    MOST_SHOWN,
    RESULTS_VIEW,
    VARIANTS_VIEW,
    VIEW_TAG,
    Comparison,
    comparison_url,
    comparison_view,
    experiment_url,
    results_view,
    saved_comparison,
    shows_all_of,
    start_url,
)

TRIALS = Comparison(
    "Trials of retrieval",
    "cosa-compare-retrieval-abc",
    "tags.`mlflow.parentRunId` = '{run}' AND tags.`cosa.stage_kind` = 'trial'",
    finals=("final/text_to_video_r1",),
    curves=("validation/text_to_video_r1", "train/loss"),
    fields=("learning_rate",),
    filtered_by="local",
)


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
    names = [f"test/{'x' * 200}{i}" for i in range(100)]
    view = results_view(names, 1)
    assert view[0] == VIEW_TAG + RESULTS_VIEW
    assert state_of(view)["selectedColumns"][MOST_SHOWN:] == ["attributes.`Dataset`", "attributes.`Models`"]
    assert len(view[1]) < LONGEST_TAG
    many = replace(TRIALS, finals=tuple(names), curves=tuple(names), fields=tuple(names))
    assert len(comparison_view(many, "run7", 1)[1]) < LONGEST_TAG


def test_charts_of_a_run_that_did_not_come_to_its_end_replace_no_more_than_they_show() -> None:
    some = comparison_view(replace(TRIALS, finals=("a",)), "run7", 2)[1]
    all_ = comparison_view(replace(TRIALS, finals=("b", "a")), "run7", 1)[1]
    assert not shows_all_of(some, all_)
    assert shows_all_of(all_, some)
    assert shows_all_of(comparison_view(replace(TRIALS, finals=("a",)), "run8", 2)[1], all_), "other runs"
    assert shows_all_of(some, "of somebody else")


def test_the_saved_comparison_of_most_runs_is_found() -> None:
    trials = {f"{VIEW_TAG}{COMPARISON_VIEW}-{name}": results_view([], time)[1] for name, time in (("a", 2), ("b", 3), ("c", 1))}
    assert saved_comparison(trials) == f"{COMPARISON_VIEW}-b"
    variants = {f"{VIEW_TAG}{VARIANTS_VIEW}": comparison_view(replace(TRIALS, search="tags.x = 'this'"), "run7", 9)[1]}
    assert saved_comparison({**trials, **variants}) == f"{COMPARISON_VIEW}-b"
    assert saved_comparison({**trials, **variants}, "this") == VARIANTS_VIEW
    runs = {f"{VIEW_TAG}{COMPARISON_VIEW}": results_view([], 1)[1]}
    assert saved_comparison({**trials, **variants, **runs}, "an earlier one") == COMPARISON_VIEW
    assert saved_comparison({f"{VIEW_TAG}{RESULTS_VIEW}": "", "other": "x"}) is None


def test_trials_are_compared_by_the_metric_that_decides() -> None:
    view = comparison_view(TRIALS, "run7", 1)
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


def page(sender: Sender, column: str, time: int, *, replaces: bool = True, comparison: Comparison | None = None) -> list[str]:
    """Record a page with a column of results; return the columns that it has then."""
    plain = comparison.plain() if comparison is not None else None
    shown = {"columns": [column] if column else [], "comparison": plain, "replaces": replaces, "time": time}
    sender.send({"do": "page", "run": "", **json.loads(json.dumps(shown))})
    tag = sender._client.get_experiment(sender.experiment_id).tags.get(VIEW_TAG + RESULTS_VIEW)
    return [] if tag is None else state_of(("", tag))["selectedColumns"][:-2]


def test_the_page_of_an_experiment_is_that_of_its_last_whole_invocation(tmp_path: Any) -> None:
    sender = Sender(TrackingStore(local_store(tmp_path), "demo", None), {"local": "run7"})
    assert page(sender, "", 1) == []
    assert page(sender, "test/cider", 2, replaces=False) == ["metrics.`test/cider`"]  # There is no other yet.
    assert page(sender, "test/bleu4", 3) == ["metrics.`test/bleu4`"]
    assert page(sender, "test/cider", 4, replaces=False) == ["metrics.`test/bleu4`"]
    assert page(sender, "", 4) == ["metrics.`test/bleu4`"]
    assert page(sender, "test/cider", 2) == ["metrics.`test/bleu4`"]  # It waited in a file meanwhile.
    page(sender, "", 5, comparison=TRIALS)
    tags = sender._client.get_experiment(sender.experiment_id).tags
    assert "'run7'" in state_of(("", tags[VIEW_TAG + TRIALS.key]))["searchFilter"]
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    page(sender, "", 4, comparison=replace(TRIALS, finals=()))
    assert sender._client.get_experiment(sender.experiment_id).tags == tags
    page(sender, "", 6, comparison=replace(TRIALS, finals=()), replaces=False)  # It was interrupted.
    assert sender._client.get_experiment(sender.experiment_id).tags == tags
    assert sender.store.recorded_comparison(str(sender.experiment_id)) == TRIALS.key
    assert sender.store.recorded_comparison("77") is None
