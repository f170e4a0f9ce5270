"""When the workers of an evaluation have started."""

import os
import time
from pathlib import Path

from workflows.execution.whereabouts import WORKERS_FILE, seconds_to_start


def test_the_time_until_workers_have_started(tmp_path: Path) -> None:
    asked = time.time()
    assert seconds_to_start(tmp_path, asked) == 0
    (tmp_path / WORKERS_FILE).touch()
    os.utime(tmp_path / WORKERS_FILE, (asked, asked + 7))
    assert abs(seconds_to_start(tmp_path, asked) - 7) < 0.01
    assert seconds_to_start(tmp_path, asked + 60) == 0, "the clock of another machine"
