"""Loader processes hand batches over in shared memory, of which containers have little (Docker and Kubernetes give 64 MB)."""

import shutil
from dataclasses import fields
from pathlib import Path

from torch import Tensor

from cosa.data.batches import STREAM_SAMPLE, Batch, TrainingBatches, random_stream
from cosa.errors import UserError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux has it there; elsewhere shared memory has no size to look at.
PREFETCH = 2  # PyTorch's loaders prepare so many batches for each process,
IN_HAND = 2  # and the training holds the batch that it works on and the one before.
_ADVICE = (
    "lower loader_workers (0 needs none) or batch_size, or give the container more (docker run --shm-size=2g; in Kubernetes an "
    "emptyDir of medium Memory at /dev/shm)"
)


class LoaderDiedError(UserError):
    """A process that prepares batches was killed."""


def check_shared_memory(batches: TrainingBatches, loader_workers: int, neighbours: int = 1) -> None:
    """Check that the loader processes' batches fit into shared memory: without, a loader waits for ever, or is killed.

    Args:
        batches: of a worker.
        loader_workers: processes of each worker.
        neighbours: workers on this machine, this one included.

    Raises:
        UserError: they do not fit.
    """
    if not loader_workers or not SHARED_MEMORY.is_dir():
        return
    each = batch_bytes(batches)
    count = (PREFETCH * loader_workers + IN_HAND) * neighbours
    if count * each > shutil.disk_usage(SHARED_MEMORY).free:
        workers = f" on {neighbours} workers" if neighbours > 1 else ""
        raise UserError(
            f"loader_workers: {loader_workers}{workers} needs {_mib(count * each)} of shared memory ({count} batches of "
            f"{_mib(each)}), and {_room()}; {_ADVICE}"
        )


def batch_bytes(batches: TrainingBatches) -> int:
    """Return the size of a worker's largest batch: its pictures, beside which texts are nothing."""
    sizes = []
    for corpus in batches.corpora:
        clip = corpus.clips(corpus.samples[0].media_id, random_stream(batches.seed, STREAM_SAMPLE, 0, 0))
        sizes.append(clip.nbytes * (corpus.batch_size // batches.workers))
    return max(sizes)


def in_shared_memory(batch: Batch) -> Batch:
    """Move a batch of a loader's process to shared memory here. PyTorch does it in a thread whose errors nobody gets.

    Raises:
        UserError: there is no room.
    """
    try:
        for field in fields(batch):
            value = getattr(batch, field.name)
            if isinstance(value, Tensor):
                value.share_memory_()
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"a loader process found no room in shared memory: {_room()} ({first}); {_ADVICE}") from error
    return batch


def loader_death(error: RuntimeError) -> LoaderDiedError | None:
    """Say in a sentence that a loader's process was killed, if that is what PyTorch reports; None if it is something else."""
    text = str(error)
    if "DataLoader worker" not in text:
        return None
    return LoaderDiedError(
        f"a process of loader_workers was killed ({text.strip().splitlines()[0]}): memory has run out, or shared memory "
        f"({_room()}); {_ADVICE}"
    )


def _room() -> str:
    if not SHARED_MEMORY.is_dir():
        return "its size is unknown"
    usage = shutil.disk_usage(SHARED_MEMORY)
    return f"{SHARED_MEMORY} has {_mib(usage.free)} free of {_mib(usage.total)}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
