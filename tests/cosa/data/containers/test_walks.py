"""No bytes keep a walk from ending, and none but its own error is raised."""

from pathlib import Path

import numpy as np
import pytest

from cosa.data.containers.structure import structure_problem
from tests.cosa.data.containers.test_structure import KINDS
from tests.cosa.data.drawn_videos import make_video

DEMUXERS = {
    "a.mp4": "mov",
    "a.mkv": "matroska",
    "a.flv": "flv",
    "a.avi": "avi",
    "a.wmv": "asf",
    "a.rm": "rm",
    "a.gif": "gif",
}


@pytest.mark.parametrize("name", DEMUXERS)
def test_any_bytes_end_a_walk(tmp_path: Path, name: str) -> None:
    sound = make_video(tmp_path / name, frames=8, **KINDS[name]).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    for attempt in range(300):
        content = bytearray(sound if attempt % 3 else rng.bytes(2000))
        for place in rng.integers(0, min(len(content), 3000), attempt % 5):
            content[place] = rng.choice([0, 1, 127, 128, 255])
        path.write_bytes(content[: len(content) - attempt])
        with path.open("rb") as file:
            problem = structure_problem(DEMUXERS[name], file, 1)
        assert problem is None or problem.isprintable()


def test_boxes_inside_boxes_take_no_stack(tmp_path: Path) -> None:
    boxes = b"".join((8 * n).to_bytes(4) + b"trak" for n in range(5000, 0, -1))
    path = tmp_path / "deep.mp4"
    path.write_bytes((8 + len(boxes)).to_bytes(4) + b"moov" + boxes)
    with path.open("rb") as file:
        assert structure_problem("mov", file, 1) is None
