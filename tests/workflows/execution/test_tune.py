"""What is written down about a trial that Ray Tune says has ended. No Ray is started."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from workflows.execution.progress import ProgressWriter
from workflows.execution.trials import TrialBook
from workflows.execution.tune import _Watch


@pytest.mark.parametrize(("validated", "state"), [((), "lost"), ((2,), "stopped"), ((2, 4), "finished")])
def test_a_trial_counts_only_with_a_validation(validated: tuple[int, ...], state: str, tmp_path: Path) -> None:
    book = TrialBook(tmp_path)
    trial = book.add({"learning_rate": 1e-3})
    kind = SimpleNamespace(selection_metric=lambda _: None)
    watch = _Watch(cast("Any", SimpleNamespace(kind=kind, section=None)), book, 1)
    progress = ProgressWriter(book.folder_of(trial), 4)
    for step in validated:
        progress.write("evaluation", step, {"text_to_video_r1": 1.0})
    watch.ended(trial.name)
    assert trial.state == state
    assert bool(trial.reason) == (state == "lost")
