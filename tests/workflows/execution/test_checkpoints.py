"""Names of a run's checkpoints, and which of them serve."""

import json
import re
import shutil
from pathlib import Path

import pytest
from pyarrow.fs import SubTreeFileSystem

from tests.cosa.training.test_loop import make_trainer
from workflows.execution.checkpoint_storage import checkpoint_storage, remove_checkpoints
from workflows.execution.checkpoints import (
    SNAPSHOT,
    checkpoint_name,
    copy_model,
    copy_other_models,
    discard_damaged_book,
    latest_intact,
    next_suffix,
    saved_checkpoints,
    suffix_of,
    up_to,
)
from workflows.execution.progress import Record
from workflows.execution.run_folder import RunFolder
from workflows.execution.stage_checkpoint import further_steps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three intact checkpoints of steps 4, 8, 12, and what else Ray leaves there."""
    from cosa.training.state import save_state

    listed = [{"checkpoint_dir_name": checkpoint_name(step)} for step in (4, 8, 12)]
    (tmp_path / SNAPSHOT).write_text(json.dumps({"checkpoint_results": listed}))
    trainer = make_trainer(steps=1)
    for step in (4, 8, 12):
        save_state(trainer, tmp_path / checkpoint_name(step))
    return tmp_path


@pytest.fixture(params=["mounted", "remote"])
def run(request: pytest.FixtureRequest, folder: Path) -> RunFolder:
    """The same as seen through a mounted file system, and through one whose files must be downloaded."""
    local = RunFolder.at(folder)
    if request.param == "mounted":
        return local
    return RunFolder(SubTreeFileSystem(str(folder.parent), local.filesystem), folder.name)


def test_names() -> None:
    assert checkpoint_name(12) == "checkpoint_00000012"
    assert checkpoint_name(12, "_3") == "checkpoint_00000012_3"
    assert [suffix_of(name) for name in ("checkpoint_00000008", "checkpoint_00000008_12")] == ["", "_12"]


def test_repeated_steps_get_names_of_their_own(run: RunFolder, folder: Path) -> None:
    assert next_suffix(run) == "_1"
    (folder / "checkpoint_00000008_1").mkdir()
    assert next_suffix(run) == "_2"


def test_earlier_ones_come_newest_first(run: RunFolder, folder: Path) -> None:
    (folder / "checkpoint_00000008_1").mkdir()
    assert up_to(run, "checkpoint_00000008_1") == ["checkpoint_00000008_1", "checkpoint_00000008", "checkpoint_00000004"]


def test_the_newest_intact_one_serves(run: RunFolder, folder: Path) -> None:
    latest = checkpoint_name(12)
    assert latest_intact(run, latest) == (latest, [])
    for step in (12, 8):
        (folder / checkpoint_name(step) / "config.json").write_text("{}")
    name, warnings = latest_intact(run, latest)
    assert name == checkpoint_name(4)
    assert [warning.split()[1] for warning in warnings] == [run.address(checkpoint_name(step)) for step in (12, 8)]
    (folder / checkpoint_name(4) / "checksums.json").unlink()
    name, warnings = latest_intact(run, latest)
    assert name is None
    assert warnings[-1] == "no checkpoint is intact: training starts again from its first step"


def test_without_books_of_ray_the_newest_intact_one_serves(run: RunFolder, folder: Path) -> None:
    assert latest_intact(run, None) == (checkpoint_name(12), [])
    (folder / checkpoint_name(12) / "config.json").write_text("")
    name, warnings = latest_intact(run, None)
    assert (name, len(warnings)) == (checkpoint_name(8), 1)
    for step in (4, 8, 12):
        shutil.rmtree(folder / checkpoint_name(step))
    assert latest_intact(run, None) == (None, [])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "cannot be read"),
        ("\0" * 40, "cannot be read"),
        ('{"checkpoint_results": [{"checkpo', "cannot be read"),
        ("[]", "cannot be read"),
        (
            '{"checkpoint_results": [{"checkpoint_dir_name": "checkpoint_00000099"}]}',
            "checkpoint_00000099, which is gone",
        ),
    ],
)
def test_books_that_ray_cannot_use_are_removed(run: RunFolder, folder: Path, content: str, what: str) -> None:
    assert discard_damaged_book(run) is None
    (folder / SNAPSHOT).write_text(content)
    warning = discard_damaged_book(run)
    assert warning is not None
    assert what in warning
    assert not (folder / SNAPSHOT).exists()
    assert discard_damaged_book(run) is None


def test_of_two_checkpoints_of_a_step_the_later_one_counts(run: RunFolder, folder: Path) -> None:
    (folder / checkpoint_name(8, "_1")).mkdir()
    assert saved_checkpoints(run) == {4: checkpoint_name(4), 8: checkpoint_name(8, "_1"), 12: checkpoint_name(12)}


def test_only_the_model_is_copied(run: RunFolder, tmp_path: Path) -> None:
    target = tmp_path / "copied"
    target.mkdir()
    (target / "old").write_text("")
    copy_model(run, checkpoint_name(4), target)
    assert {path.name for path in target.iterdir()} == {"model.safetensors", "config.json", "vocab.txt"}


def test_a_run_that_saved_nothing_keeps_nothing(tmp_path: Path) -> None:
    assert saved_checkpoints(RunFolder.at(tmp_path)) == {}
    missing = RunFolder.at(tmp_path, "never-begun")
    assert (saved_checkpoints(missing), missing.names()) == ({}, [])


def test_a_mounted_folder_is_read_in_place(folder: Path) -> None:
    with RunFolder.at(folder).opened(checkpoint_name(4)) as here:
        assert here == folder / checkpoint_name(4)


def test_training_resumes_where_it_was_begun(tmp_path: Path) -> None:
    """Whatever the spec says by then; others that run the same in the same bucket have folders of their own."""
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there):
        place.mkdir()
    assert checkpoint_storage(here, None, "demo") == str(here / "ray")
    (here / "ray").mkdir()
    assert checkpoint_storage(here, "s3://bucket/all", "demo") == str(here / "ray")
    begun = checkpoint_storage(there, "s3://bucket/all?region=eu-west-1", "demo")
    assert re.fullmatch(r"s3://bucket/all/demo-[0-9a-f]{8}\?region=eu-west-1", begun)
    assert checkpoint_storage(there, None, "demo") == begun
    remove_checkpoints(here, pytest.fail)
    assert list(here.iterdir()) == []


def test_further_checkpoints_are_copied_without_their_training_state(run: RunFolder, tmp_path: Path) -> None:
    saved = {step: checkpoint_name(step) for step in (4, 8, 12)}
    stage = tmp_path / "stage"
    (stage / "checkpoints" / "step_00000099").mkdir(parents=True)  # of an earlier attempt
    folder = copy_other_models(run, saved, {12, 4, 100}, stage)
    assert folder == stage / "checkpoints"
    assert [path.name for path in sorted(folder.iterdir())] == ["step_00000004", "step_00000012"]
    names = {path.name for path in (folder / "step_00000004").iterdir()}
    assert names == {"model.safetensors", "config.json", "vocab.txt"}
    assert copy_other_models(run, saved, set(), stage) is None
    assert not folder.exists()


@pytest.mark.parametrize(
    ("which", "best", "further"),
    [("best", 4, set()), ("none", 4, set()), ("last", 4, {12}), ("last", 12, set()), ("all", 4, {8, 12})],
)
def test_which_checkpoints_go_to_mlflow_besides_the_best(which: str, best: int, further: set[int]) -> None:
    records = [Record("evaluation", step, 12, {}, 0.0) for step in (4, 8, 12)] + [Record("train", 10, 12, {}, 0.0)]
    assert further_steps(records, which, best) == further
