import posixpath
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray.train
import torch
from ray.train import Checkpoint, CheckpointUploadMode

import cosa.distributed
from cosa.errors import UserError
from tests.cosa.training.test_loop import make_trainer
from workflows.execution import workers
from workflows.execution.checkpoints import damage_of
from workflows.execution.progress import PROGRESS_FILE, ProgressWriter
from workflows.execution.run_folder import RunFolder
from workflows.execution.workers import finite, raise_mistake, training_worker


@pytest.mark.parametrize("group", [1, 2])
def test_a_mistake_ends_training_and_is_reported_to_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    """Alone a worker ends as if it were done; one of several raises, so that Ray ends the others, and all return at once."""
    trained = []

    def train(config: object) -> None:
        trained.append(config)
        raise UserError("1 images missing")

    monkeypatch.setattr(workers, "_train", train)
    monkeypatch.setattr(cosa.distributed, "world_size", lambda: group)
    config = {"job": {"folder": str(tmp_path)}}
    raise_mistake(tmp_path)  # there is none yet
    if group == 1:
        training_worker(config)
    else:
        with pytest.raises(UserError):
            training_worker(config)
    training_worker(config)
    assert len(trained) == 1
    with pytest.raises(UserError, match="1 images missing"):
        raise_mistake(tmp_path)


def test_a_gpu_that_is_too_small_fails_a_trial_instead_of_losing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(config: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(workers, "_train", train)
    training_worker({"job": {"folder": str(tmp_path)}})
    with pytest.raises(UserError, match="the GPU ran out of memory; use a smaller batch_size"):
        raise_mistake(tmp_path)


def test_other_errors_are_not_taken_for_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(config: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(workers, "_train", train)
    with pytest.raises(RuntimeError):
        training_worker({"job": {"folder": str(tmp_path)}})
    raise_mistake(tmp_path)


def test_what_ray_cannot_store_is_left_out() -> None:
    assert finite({"loss": float("nan"), "cider": 1, "r1": 2.5}) == {"cider": 1.0, "r1": 2.5}


def test_a_checkpoint_is_in_place_before_it_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other workers wait for the report without a limit; what came after it would be limited by torch.distributed."""
    reported: list[tuple[str, str | None, CheckpointUploadMode]] = []

    def report(metrics: object, *, checkpoint: Checkpoint, checkpoint_dir_name: str, **how: CheckpointUploadMode) -> None:
        run = RunFolder(checkpoint.filesystem, posixpath.dirname(checkpoint.path))
        reported.append((checkpoint_dir_name, damage_of(run, checkpoint_dir_name), how["checkpoint_upload_mode"]))

    storage = SimpleNamespace(storage_filesystem=RunFolder.at(tmp_path).filesystem, experiment_fs_path=str(tmp_path))
    monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(get_storage=lambda: storage))
    monkeypatch.setattr(ray.train, "report", report)
    progress = ProgressWriter(tmp_path, 1)
    progress.write("train", 0, {"loss": 2.0})
    workers._report(make_trainer(steps=1), {"step": 0}, "_1", lambda: {PROGRESS_FILE: progress.content()})
    assert (tmp_path / "checkpoint_00000000_1" / PROGRESS_FILE).read_bytes() == progress.content()
    assert reported == [("checkpoint_00000000_1", None, CheckpointUploadMode.NO_UPLOAD)]
