"""Says in a sentence why workers ended that made no mistake: killed, out of memory, their machine lost, a disk full."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cosa.errors import UserError, last_line
from workflows.execution.memory_use import MemoryUse

LOSS_FILE = "loss.txt"  # In the folder of a trial, it says why the trial was lost.
LITTLE_BYTES = 16 * 2**20  # A file system with less room is called full.
SMALLER = "use a smaller batch_size, or fewer workers or trials at once, or close other programs"
SMALLER_ON_GPU = "use a smaller batch_size, gradient_checkpointing: true, accumulate, or more workers"
# What Ray says when the process of a worker ended, the last while the process was being started.
DEATHS = ("ActorDiedError", "WorkerCrashedError", "worker process has died", "worker actors failed to initialize")
FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))


class WorkersLostError(UserError):
    """Workers ended without a mistake of the user's."""


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that Ray has wrapped in it, each once, the outermost first."""
    pending, seen = [error], set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        failures = getattr(current, "worker_failures", None)
        pending += list(failures.values()) if isinstance(failures, dict) else []
        inner = (
            current.__cause__,
            current.__context__,
            *(getattr(current, name, None) for name in ("cause", "controller_failure")),
        )
        pending += [e for e in inner if isinstance(e, BaseException)]


def why_lost(error: BaseException, folder: Path | None, kills_before: int = 0) -> str | None:
    """Say why workers ended; None if it was something else: a mistake, or a defect.

    Args:
        error: of Ray. What happened is partly an error inside of it, partly only in its text.
        folder: that they write to, in case it is full.
        kills_before: `memory_kills` when they began.
    """
    text = _text_of(error)
    if folder is not None and any(full in text for full in FULL):
        return f"{full_places(folder)}; make room"
    if _is_of_ray_monitor(error, text):
        return f"Ray killed a worker because the machine ran out of memory{_who_used_it(text)}"
    if "NodeDiedError" in text or "node has died" in text:
        return "the machine of a worker was lost, or Ray on it"
    if "StartupTimeout" in text:
        return "the cluster had no room for the workers in time: others use it, or machines have left; run it again when it has"
    if not any(death in text for death in DEATHS):
        return None
    kills = memory_kills() - kills_before
    if kills > 0:
        return f"a worker was killed, and the kernel killed {kills} processes here meanwhile because memory ran out; {SMALLER}"
    return "a worker was killed from outside (SIGKILL, for instance by a memory limit: see dmesg), or crashed"


def _who_used_it(text: str) -> str:
    """Return who used the memory, as far as Ray says that, and what to do."""
    use = MemoryUse.read(text)
    if use is None:
        return f"; {SMALLER}"
    return f": {use}; {'close other programs, or wait for their end' if use.is_by_others else SMALLER}"


def _text_of(error: BaseException) -> str:
    return "\n".join(f"{type(cause).__name__}: {cause}" for cause in causes_of(error))


def _is_of_ray_monitor(error: BaseException, text: str) -> bool:
    """Return whether Ray's memory monitor killed a worker; PyTorch's class for a full GPU has the same short name."""
    from ray.exceptions import OutOfMemoryError

    is_ray_error = any(isinstance(cause, OutOfMemoryError) for cause in causes_of(error))
    return is_ray_error or "ray.exceptions.OutOfMemoryError" in text or "running low on memory" in text


def gpu_memory_mistake(error: BaseException) -> UserError | None:
    """Say that a GPU's memory did not suffice, which happens again with the same values; None if it was something else."""
    import torch

    is_torch_error = any(isinstance(cause, torch.OutOfMemoryError) for cause in causes_of(error))
    text = _text_of(error)  # Some of Ray's errors hold only the text of a worker's traceback.
    if is_torch_error or any(f"{module}.OutOfMemoryError" in text for module in ("torch", "torch.cuda")):
        return UserError(f"the GPU ran out of memory; {SMALLER_ON_GPU}")
    return None


def memory_kills() -> int:
    """Return how many processes the kernel of this machine has killed so far because memory ran out."""
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        return int(counters["oom_kill"])
    except (OSError, ValueError, KeyError):  # Only Linux counts them.
        return 0


def full_places(folder: Path) -> str:
    """Say which file systems are full, of those that a worker writes to."""
    places = [folder, Path(tempfile.gettempdir()), Path("/dev/shm")]  # noqa: S108 - It is only looked at.
    rooms = {place: shutil.disk_usage(place).free for place in places if place.exists()}
    little = [f"{place} has {free / 2**20:.0f} MiB left" for place, free in rooms.items() if free < LITTLE_BYTES]
    return f"{FULL[0]}: {' and '.join(little) if little else f'{folder}, its quota, or a temporary folder was full'}"


def note_loss(folder: Path, error: BaseException, kills_before: int) -> None:
    """Note in the folder of a trial why it was lost. A full disk may not take it."""
    reason = why_lost(error, folder, kills_before) or f"{type(error).__name__}: {last_line(error)}"
    with suppress(OSError):
        (folder / LOSS_FILE).write_text(reason, encoding="utf-8")


def noted_loss(folder: Path) -> str | None:
    """Return why a trial was lost; None if nothing is noted."""
    try:
        return (folder / LOSS_FILE).read_text(encoding="utf-8") or None
    except OSError:
        return None
