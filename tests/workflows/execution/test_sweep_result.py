"""Tables and plots of sweeps over fields of any type."""

import csv
import itertools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from cosa.evaluation.metric import Metric
from workflows.execution.plots import _place
from workflows.execution.progress import Record
from workflows.execution.run_folder import RunFolder
from workflows.execution.sweep_result import RankedTrial, _why_best, _write_tables, rank
from workflows.execution.trials import Trial, TrialBook
from workflows.terminal.reporter import Reporter


def test_numbers_are_sorted_by_size_and_other_types_by_themselves() -> None:
    assert sorted([1, 0.5, 1.5], key=_place) == [0.5, 1, 1.5]
    assert sorted(["b", None, 2, "a", [0.9, 0.98], True], key=_place) == [True, 2, None, [0.9, 0.98], "a", "b"]


def test_trials_may_have_measured_different_things(tmp_path: Path) -> None:
    """As in a sweep over video_to_text."""
    few, more = {"text_to_video_r1": 2.0}, {"text_to_video_r1": 1.0, "video_to_text_r1": 3.0}
    trials = [Trial(name, {"video_to_text": name == "more"}, "finished") for name in ("few", "more")]
    ran = {
        trial.name: RankedTrial(trial, [], Record("evaluation", 1, 1, values, 0.0), RunFolder.at(tmp_path), {})
        for trial, values in zip(trials, (few, more), strict=True)
    }
    context: Any = SimpleNamespace(
        folder=tmp_path,
        run=SimpleNamespace(tracker=SimpleNamespace(reporter=Reporter(Console(quiet=True)))),
    )
    _write_tables(context, TrialBook(tmp_path, trials), ran, Metric("text_to_video_r1"), ran["few"])
    with (tmp_path / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["video_to_text_r1"]) for row in rows] == [("few", ""), ("more", "3.0")]


def test_the_table_shows_values_as_a_spec_has_them() -> None:
    console = Console(width=100, highlight=False)
    rows = [{"trial": "a", "compile": True, "ema_decay": None, "betas": [0.9, 0.98], "learning_rate": 1e-05, "state": "failed"}]
    with console.capture() as capture:
        Reporter(console).trials(["compile", "ema_decay", "betas", "learning_rate"], Metric("cider", "CIDEr"), rows)
    assert capture.get().splitlines()[1].split() == ["a", "true", "null", "[0.9,", "0.98]", "1e-05", "failed"]


def ranked(rate: float, r1: float, loss: float) -> RankedTrial:
    record = Record("evaluation", 1, 1, {"text_to_video_r1": r1, "mean_loss": loss}, 0.0)
    return RankedTrial(Trial(f"lr-{rate}", {"learning_rate": rate}, "finished"), [], record, RunFolder("", ""), {1: "a"})


def test_of_equal_trials_the_one_with_the_lower_loss_is_the_best() -> None:
    metric = Metric("text_to_video_r1", "R@1")
    trials = [ranked(1e-3, 0.0, 5.1), ranked(3e-4, 0.0, 6.3), ranked(1e-4, 0.0, math.nan)]
    for given in itertools.permutations(trials):
        best = max(given, key=lambda one: rank(one, metric))
        assert best.trial.name == "lr-0.001"
        assert _why_best(best, given, metric) == "3 of 3 trials are equal; lr-0.001 is selected by its loss"
    better = ranked(1e-5, 2.0, 9.0)
    best = max([*trials, better], key=lambda one: rank(one, metric))
    assert _why_best(best, [*trials, better], metric) == "lr-1e-05 is the best of 4"


def test_the_best_of_trials_that_are_equal_in_everything_does_not_depend_on_their_order() -> None:
    metric = Metric("rank", lower_is_better=True)
    trials = [ranked(rate, 0.0, 5.0) for rate in (1e-3, 3e-4)]
    for one in trials:
        one.best.values["rank"] = 1.0
    best = {max(given, key=lambda one: rank(one, metric)).trial.name for given in itertools.permutations(trials)}
    assert best == {"lr-0.001"}
