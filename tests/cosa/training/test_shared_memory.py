"""Loader processes and the shared memory that they need."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosa.errors import UserError
from cosa.training import shared_memory
from cosa.training.shared_memory import batch_bytes, check_shared_memory, loader_death
from tests.cosa.training.test_loop import make_trainer, train
from tests.support import RandomClips

ROOT = Path(__file__).parents[3]


class Room:
    """What `shutil.disk_usage` says."""

    def __init__(self, free: int):
        self.free, self.total = free, 2**26


def test_a_batch_is_as_large_as_its_pictures() -> None:
    trainer = make_trainer(steps=1)
    assert batch_bytes(trainer.batches) == trainer.batches[0].frames.nbytes


@pytest.mark.parametrize(
    ("workers", "neighbours", "batches", "fits"),
    [(1, 1, 4, True), (1, 1, 3, False), (2, 1, 6, True), (2, 3, 18, True), (2, 3, 17, False), (0, 1, 0, True)],
)
def test_batches_that_do_not_fit_are_refused(
    workers: int, neighbours: int, batches: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(steps=1)
    free = batches * batch_bytes(trainer.batches)
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda _: Room(free))
    if fits:
        check_shared_memory(trainer.batches, workers, neighbours)
        return
    with pytest.raises(UserError, match=r"^loader_workers: \d.* needs \d+ MiB of shared memory .*/dev/shm has .*--shm-size"):
        check_shared_memory(trainer.batches, workers, neighbours)


IN_SMALL_MEMORY = """
from tests.cosa.training.test_shared_memory import large_clips
from tests.cosa.training.test_loop import make_trainer, train
from dataclasses import replace
trainer = make_trainer(loader_workers=1)
trainer.batches.corpora = tuple(replace(c, clips=large_clips) for c in trainer.batches.corpora)
try:
    train(trainer)
except Exception as error:
    print(type(error).__name__, error)
"""


class LargeClips(RandomClips):
    """Two megabytes a clip, of which the model would take too long."""

    def __call__(self, media_id: str, generator: np.random.Generator | None) -> torch.Tensor:
        return torch.zeros(2, 3, 592, 592, dtype=torch.uint8)


large_clips = LargeClips()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small /dev/shm")
def test_a_loader_that_finds_no_room_says_so(tmp_path: Path) -> None:
    """Without a word of its own, PyTorch would wait for ever: a thread of the loader gets the error."""
    words = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=4M tmpfs /dev/shm && exec "$0" -c "$1"']
    done = subprocess.run(
        [*words, sys.executable, IN_SMALL_MEMORY], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"this machine lets nobody mount: {done.stderr}")
    assert "UserError a loader process found no room in shared memory: /dev/shm has " in done.stdout, done.stderr
    assert "lower loader_workers" in done.stdout


class Killer(RandomClips):
    """Clips whose first reading in a loader's process kills it."""

    def __init__(self, clips: Callable[..., Any], signal_number: int):
        self.clips, self.signal_number, self.driver = clips, signal_number, os.getpid()

    def __call__(self, media_id: str, generator: np.random.Generator | None) -> Any:
        if os.getpid() != self.driver:
            os.kill(os.getpid(), self.signal_number)
        return self.clips(media_id, generator)


@pytest.mark.parametrize("number", [7, 9], ids=["SIGBUS", "SIGKILL"])
def test_a_loader_that_is_killed_is_reported(number: int) -> None:
    """In a thread, as in Ray's workers, where PyTorch has no signal handler."""
    trainer = make_trainer(loader_workers=1)
    trainer.batches.corpora = tuple(replace(c, clips=Killer(c.clips, number)) for c in trainer.batches.corpora)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            train(trainer)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert raised
    death = loader_death(raised[0])  # type: ignore[arg-type]
    assert death is not None
    assert "a process of loader_workers was killed" in str(death)
    assert "shared memory" in str(death)
    assert "\n" not in str(death)


def test_other_errors_are_none_of_a_loader() -> None:
    assert loader_death(RuntimeError("CUDA error: out of memory")) is None
