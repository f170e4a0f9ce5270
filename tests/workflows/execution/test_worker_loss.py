"""Why workers ended that made no mistake, from what Ray says. No Ray is started."""

import errno
import os
from pathlib import Path

import pytest
import torch
from ray import exceptions
from ray.train import ControllerError, WorkerGroupError

from cosa.errors import DataError, UserError
from workflows.execution import worker_loss
from workflows.execution.fit import user_error_in
from workflows.execution.worker_loss import causes_of, gpu_memory_mistake, memory_kills, note_loss, noted_loss, why_lost

KILLED = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: RayTrainWorker\n\tpid: 9355\n"
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker "
    "unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed by "
    "the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly"
)
DEATH = exceptions.RayActorError(actor_id="a", error_msg=KILLED)
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/checkpoint")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WorkerGroupError("x", {0: DEATH}), "a worker was killed from outside (SIGKILL"),
        (ControllerError(RuntimeError(f"Traceback\nActorDiedError: {KILLED}")), "a worker was killed from outside"),
        (ControllerError(RuntimeError("At least one of the worker actors failed to initialize.")), "a worker was killed from"),
        (exceptions.WorkerCrashedError(), "a worker was killed from outside"),
        (WorkerGroupError("x", {1: exceptions.OutOfMemoryError("low")}), "Ray killed a worker because the machine ran"),
        (ControllerError(exceptions.NodeDiedError("gone")), "the machine of a worker was lost"),
        (WorkerGroupError("The actor died because its node has died. Node Id: 12", {}), "the machine of a worker was lost"),
        (ControllerError(RuntimeError("WorkerGroupStartupTimeoutError")), "the cluster had no room for the workers in time"),
        (WorkerGroupError(f"OSError: {FULL}", {0: FULL}), "No space left on device: "),
    ],
)  # fmt: skip
def test_what_ray_says_becomes_a_sentence(error: Exception, reason: str, tmp_path: Path) -> None:
    found = why_lost(error, tmp_path, memory_kills())
    assert found is not None
    assert found.startswith(reason)
    assert "\n" not in found


GPU_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize(
    "error",
    [
        GPU_FULL,
        WorkerGroupError("x", {1: GPU_FULL}),
        exceptions.RayTaskError("evaluate", "torch.OutOfMemoryError: CUDA out of memory.", GPU_FULL).as_instanceof_cause(),
        ControllerError(RuntimeError("Traceback\ntorch.OutOfMemoryError: CUDA out of memory.")),
    ],
)
def test_a_gpu_that_is_too_small_is_a_mistake_in_the_values(error: Exception, tmp_path: Path) -> None:
    """PyTorch's class has the same short name as that of Ray's memory monitor."""
    assert why_lost(error, tmp_path) is None
    found = user_error_in(error)
    assert isinstance(found, UserError)
    assert str(found).startswith("the GPU ran out of memory; use a smaller batch_size")


def test_rays_memory_monitor_is_no_mistake(tmp_path: Path) -> None:
    text = RuntimeError("Traceback\nray.exceptions.OutOfMemoryError: Task was killed")
    assert str(why_lost(ControllerError(text), tmp_path)).startswith("Ray killed a worker")
    assert gpu_memory_mistake(text) is None


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), WorkerGroupError("x", {0: DataError("no image")})])
def test_mistakes_and_defects_are_no_losses(error: Exception, tmp_path: Path) -> None:
    assert why_lost(error, tmp_path) is None


def test_the_kernel_is_asked_whether_memory_ran_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = memory_kills()
    monkeypatch.setattr(worker_loss, "memory_kills", lambda: before + 2)
    reason = why_lost(exceptions.WorkerCrashedError(), tmp_path, before)
    assert reason is not None
    assert "the kernel killed 2 processes here meanwhile because memory ran out; use a smaller batch_size" in reason


def test_the_full_file_system_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 2**20

    monkeypatch.setattr(worker_loss.shutil, "disk_usage", lambda _: Usage)
    assert f"{tmp_path} has 1 MiB left" in str(why_lost(FULL, tmp_path))


def test_a_mistake_is_found_wherever_ray_hides_it() -> None:
    mistake = DataError("no image")
    for error in (mistake, WorkerGroupError("x", {0: mistake}), ControllerError(WorkerGroupError("x", {3: mistake}))):
        assert user_error_in(error) is mistake
    looped = RuntimeError("a")
    looped.__cause__ = ValueError("b")
    looped.__cause__.__cause__ = looped
    assert len(list(causes_of(looped))) == 2


def test_a_loss_is_noted_for_the_driver(tmp_path: Path) -> None:
    assert noted_loss(tmp_path) is None
    note_loss(tmp_path, WorkerGroupError("x", {0: DEATH}), memory_kills())
    assert "a worker was killed from outside" in str(noted_loss(tmp_path))
    note_loss(tmp_path, RuntimeError("first\nCUDA error: an illegal memory access"), memory_kills())
    assert noted_loss(tmp_path) == "RuntimeError: CUDA error: an illegal memory access"
    note_loss(tmp_path / "gone", RuntimeError("a"), 0)  # A full disk takes no note.
