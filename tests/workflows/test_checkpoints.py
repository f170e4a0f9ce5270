"""Names of a run's checkpoints, and which of them serve."""

from pathlib import Path

import pytest

from tests.training.test_loop import make_trainer
from workflows.stages.checkpoints import (
    checkpoint_name,
    keep_checkpoint,
    keep_others,
    kept_checkpoints,
    latest_whole,
    next_suffix,
    suffix_of,
    up_to,
)
from workflows.stages.progress import Record
from workflows.stages.train import further_steps


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three whole checkpoints of steps 4, 8, 12, and what else Ray leaves there."""
    from cosa.training.state import save_state

    (tmp_path / "checkpoint_manager_snapshot.json").write_text("{}")
    trainer = make_trainer(steps=1)
    for step in (4, 8, 12):
        save_state(trainer, tmp_path / checkpoint_name(step))
    return tmp_path


def test_names() -> None:
    assert checkpoint_name(12) == "checkpoint_00000012"
    assert checkpoint_name(12, "_3") == "checkpoint_00000012_3"
    assert [suffix_of(Path("run") / name) for name in ("checkpoint_00000008", "checkpoint_00000008_12")] == ["", "_12"]


def test_repeated_steps_get_names_of_their_own(run: Path) -> None:
    assert next_suffix(run) == "_1"
    (run / "checkpoint_00000008_1").mkdir()
    assert next_suffix(run) == "_2"


def test_earlier_ones_come_newest_first(run: Path) -> None:
    (run / "checkpoint_00000008_1").mkdir()
    assert [path.name for path in up_to(run / "checkpoint_00000008_1")] == [
        "checkpoint_00000008_1", "checkpoint_00000008", "checkpoint_00000004",
    ]  # fmt: skip


def test_the_newest_whole_one_serves(run: Path) -> None:
    latest = run / checkpoint_name(12)
    assert latest_whole(latest) == (latest.name, [])
    for step in (12, 8):
        (run / checkpoint_name(step) / "config.json").write_text("{}")
    name, warnings = latest_whole(latest)
    assert name == checkpoint_name(4)
    assert [Path(warning.split()[1]).name for warning in warnings] == [checkpoint_name(12), checkpoint_name(8)]
    (run / checkpoint_name(4) / "checksums.json").unlink()
    name, warnings = latest_whole(latest)
    assert name is None
    assert warnings[-1] == "no checkpoint is whole: training starts again from its first step"


def test_only_the_model_is_kept(run: Path) -> None:
    target = run / "kept"
    target.mkdir()
    (target / "old").write_text("")
    keep_checkpoint(run / checkpoint_name(4), target)
    assert {path.name for path in target.iterdir()} == {"model.safetensors", "config.json", "vocab.txt"}


def test_a_run_that_saved_nothing_keeps_nothing(tmp_path: Path) -> None:
    assert kept_checkpoints(tmp_path) == {}


def test_further_checkpoints_are_copied_without_their_training_state(run: Path, tmp_path: Path) -> None:
    kept = {step: run / checkpoint_name(step) for step in (4, 8, 12)}
    stage = tmp_path / "stage"
    (stage / "checkpoints" / "step_00000099").mkdir(parents=True)  # of an earlier attempt
    folder = keep_others(kept, {12, 4, 100}, stage)
    assert folder == stage / "checkpoints"
    assert [path.name for path in sorted(folder.iterdir())] == ["step_00000004", "step_00000012"]
    names = {path.name for path in (folder / "step_00000004").iterdir()}
    assert names == {"model.safetensors", "config.json", "vocab.txt"}
    assert keep_others(kept, set(), stage) is None
    assert not folder.exists()


@pytest.mark.parametrize(
    ("which", "best", "further"),
    [("best", 4, set()), ("none", 4, set()), ("last", 4, {12}), ("last", 12, set()), ("all", 4, {8, 12})],
)
def test_which_checkpoints_go_to_mlflow_besides_the_best(which: str, best: int, further: set[int]) -> None:
    records = [Record("evaluation", step, 12, {}, 0.0) for step in (4, 8, 12)] + [Record("train", 10, 12, {}, 0.0)]
    assert further_steps(records, which, best) == further
