"""Whose memory it was when Ray's monitor killed workers."""

import pytest
from ray import exceptions

from workflows.execution.memory_use import MemoryUse
from workflows.execution.worker_loss import why_lost

# What Ray 2.56 writes, shortened.
WRITTEN = """\
2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 127.0.0.1, ID: 62) was 22.68GB used / \
23.54GB limit (0.963319)
Selected to kill: (Actor(07): task name=RayTrainWorker.__init__, pid=3868, actual memory used=%sGB)
Selected to kill: (Actor(88): task name=RayTrainWorker.__init__, pid=3832, actual memory used=0.24GB)
Total non-selected idle workers: 0
Top 10 memory users: PID\tMEM(GB)\tCOMMAND
3868\t9.00\tray::RayTrainWorker
889\t8.39\t/usr/bin/python /tmp/bench.py --token abc
5330\t8.53\tray::extract frames
2311\t0.50\tcosa run-experiment spec.yaml
Refer to the documentation on how to address the out of memory issue
"""


@pytest.mark.parametrize(
    ("worker", "sentence"),
    [
        (
            "0.24",
            "22.7 of 23.5 GB were used, 0.5 GB of it by this run's workers, and 8.4 GB by python /tmp/bench.py (process 889); "
            "close other programs, or wait for their end",
        ),
        (
            "21.00",
            "22.7 of 23.5 GB were used, 21.2 GB of it by this run's workers; use a smaller batch_size, or fewer workers or "
            "trials at once, or close other programs",
        ),
    ],
)
def test_it_says_whether_smaller_batches_would_help(worker: str, sentence: str) -> None:
    error = exceptions.OutOfMemoryError(WRITTEN % worker)
    assert why_lost(error, None) == f"Ray killed a worker because the machine ran out of memory: {sentence}"


def test_where_nothing_is_said_nothing_is_known() -> None:
    assert MemoryUse.read("Task was killed due to the node running low on memory") is None
