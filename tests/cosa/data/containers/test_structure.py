from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosa.data.videos import read_video
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video, number_of

KINDS: dict[str, dict[str, Any]] = {
    "a.mp4": {},
    "a.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "a.3gp": {"codec": "mpeg4"},
    "a.mkv": {},
    "a.webm": {"codec": "libvpx"},
    "a.flv": {},
    "b.flv": {"codec": "flv"},
    "a.avi": {"codec": "mpeg4"},
    "b.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "a.wmv": {"codec": "wmv2"},
    "b.wmv": {"codec": "wmv1"},
    "a.mpg": {"codec": "mpeg1video", "rate": 25},
    "b.mpg": {"codec": "mpeg2video", "rate": 25},
    "a.ts": {"as_format": "mpegts"},
    "a.rm": {"codec": "rv10"},
    "a.gif": {"codec": "gif", "pixel_format": "rgb8"},
}


def _garbage(content: bytes) -> bytes:
    damaged, rng = bytearray(content), np.random.default_rng(0)
    for part in (0.4, 0.7):
        start = int(len(content) * part)
        damaged[start : start + len(content) // 20] = rng.bytes(len(content) // 20)
    return bytes(damaged)


def _hole(content: bytes) -> bytes:
    return content[: len(content) // 2] + content[len(content) // 2 + len(content) // 10 :]


def _zeros(content: bytes) -> bytes:
    """What a download looks like that never got a part of the file."""
    start, length = len(content) // 2, len(content) // 10
    return content[:start] + bytes(length) + content[start + length :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {"garbage": _garbage, "hole": _hole, "zeros": _zeros}


def moving(path: Path, **arguments: Any) -> Path:
    return make_video(path, frames=60, size=(352, 288), **arguments)


@pytest.mark.parametrize(
    ("name", "damage"),
    # A GIF counts nothing: a hole between two of its blocks of 255 bytes cannot be seen.
    [(name, damage) for name in KINDS for damage in DAMAGE if (name, damage) != ("a.gif", "hole")],
)
def test_damage_in_the_middle_is_an_error_that_names_the_clip(tmp_path: Path, name: str, damage: str) -> None:
    path = moving(tmp_path / name, **KINDS[name])
    assert len(list(read_video(path, 4))) == round(60 / KINDS[name].get("rate", 10) * 4)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(DataError, match=rf"{name}.*(damaged|cannot be read|truncated|missing|ended)"):
        list(read_video(path, 4))


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"a.mpg", "b.mpg"}))
def test_a_second_file_behind_the_first_is_not_lost_in_silence(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, **KINDS[name] | ({"size": (64, 48)}))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DataError, match=rf"{name}"):
        list(read_video(path, 4))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.gif"])
def test_what_follows_the_end_of_a_clip_is_left_alone(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, **KINDS[name])
    tail = b"\xec\x83\0\0\0" if name == "a.mkv" else bytes(100)  # Matroska has an element that fills space
    path.write_bytes(path.read_bytes() + tail)
    assert [number_of(picture) for picture in read_video(path, 4)] == [int(10 * (k + 0.5) / 4) for k in range(16)]
