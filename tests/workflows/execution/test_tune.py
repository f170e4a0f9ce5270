"""What is written down and said about a trial that Ray Tune says has ended. No Ray is started."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cosa.evaluation.metric import Metric
from workflows.execution.progress import ProgressWriter
from workflows.execution.trials import Trial, TrialBook
from workflows.execution.tune import _Watch
from workflows.terminal.console import PlainConsole
from workflows.terminal.reporter import Reporter


def watch(book: TrialBook, said: io.StringIO, metric: Metric, total: int = 1) -> _Watch:
    kind = SimpleNamespace(selection_metric=lambda _: metric)
    run = SimpleNamespace(tracker=SimpleNamespace(reporter=Reporter(PlainConsole(said))))
    context = SimpleNamespace(kind=kind, section=None, run=run, step=SimpleNamespace(name="tune"))
    return _Watch(cast("Any", context), book, total)


def trained(book: TrialBook, rate: float, values: dict[int, float]) -> Trial:
    """A trial with values of a metric at some of four steps."""
    trial = book.add({"learning_rate": rate})
    progress = ProgressWriter(book.folder_of(trial), 4)
    for step, value in values.items():
        progress.write("evaluation", step, {"text_to_video_r1": value})
    return trial


@pytest.mark.parametrize(("validated", "state"), [((), "lost"), ((2,), "stopped"), ((2, 4), "finished")])
def test_a_trial_counts_only_with_a_validation(validated: tuple[int, ...], state: str, tmp_path: Path) -> None:
    book = TrialBook(tmp_path)
    trial = trained(book, 1e-3, dict.fromkeys(validated, 1.0))
    watch(book, io.StringIO(), Metric("text_to_video_r1")).ended(trial.name)
    assert trial.state == state
    assert bool(trial.reason) == (state == "lost")


def test_how_each_trial_ended_is_said_at_once(tmp_path: Path) -> None:
    book, said = TrialBook(tmp_path), io.StringIO()
    watched = watch(book, said, Metric("text_to_video_r1", "R@1"), total=3)
    for rate, values in ((1e-3, {2: 1.0, 4: 20.0}), (3e-4, {2: 1.0})):
        watched.ended(trained(book, rate, values).name)
    watched.failed(trained(book, 1e-4, {}).name, "its worker was killed")
    assert said.getvalue().splitlines() == [
        "  tune: lr-0.001: R@1 20.0  (1 of 3 done)",
        "  tune: lr-0.0003: stopped early, at step 2 of 4, R@1 1.0  (2 of 3 done)",
        "  tune: lr-0.0001: lost: its worker was killed  (2 of 3 done)",
    ]
