"""Whether a video is progressive, as its headers say."""

from pathlib import Path
from typing import Any

import pytest

from cosa.data.scanning import is_progressive
from cosa.data.videos import open_video
from tests.cosa.data.drawn_videos import make_video


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("a.mp4", {}, True),
        ("a.mkv", {"options": {"profile": "baseline"}}, True),
        ("a.mp4", {"pixel_format": "yuv444p"}, True),
        ("a.mp4", {"pixel_format": "yuv420p10le"}, True),
        ("a.mp4", {"options": {"x264-params": "tff=1"}}, False),
        ("a.mkv", {"options": {"x264-params": "bff=1", "profile": "main"}}, False),
        ("a.webm", {"codec": "libvpx"}, True),
        ("a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}, False),
        ("a.avi", {"codec": "mpeg4"}, False),
        ("a.ts", {}, False),  # Its headers come with its pictures.
    ],
)
def test_what_the_headers_prove(tmp_path: Path, name: str, arguments: dict[str, Any], expected: bool) -> None:
    assert open_video(make_video(tmp_path / name, **arguments)).info.is_progressive is expected


def coded(number: int) -> str:
    text = f"{number + 1:b}"
    return "0" * (len(text) - 1) + text


def signed(number: int) -> str:
    return coded(2 * number - 1 if number > 0 else -2 * number)


# It has one list of 4 x 4 in full, whose weights count up from 8, one that a 0 ends at once, and one of 8 x 8 of one weight.
SCALING = "1" + "".join(map(signed, [0, *[1] * 15])) + "1" + signed(-8) + "0000" + "1" + signed(4) + signed(-12) + "0" * 5


@pytest.mark.parametrize("order", [(0, 3), (1,), (2,)])
@pytest.mark.parametrize("scaling", ["0", "1" + "0" * 12, "1" + SCALING], ids=["none", "usual lists", "lists"])
@pytest.mark.parametrize(("frames_only", "expected"), [("1", True), ("0", False)])
def test_fields_before_the_one_that_says_it(order: tuple[int, ...], scaling: str, frames_only: str, expected: bool) -> None:
    text = "".join(f"{byte:08b}" for byte in (0x67, 100, 0, 30)) + coded(0)
    text += coded(3) + "0" + coded(0) + coded(0) + "0" + scaling  # 4:4:4
    text += coded(4) + "".join(map(coded, order))
    if order == (1,):  # a cycle of two frames
        text += "0" + coded(1) + coded(2) + coded(2) + coded(7) + coded(300)
    text += coded(4) + "0" + coded(39) + coded(29) + frames_only + "1"
    text += "0" * (-len(text) % 8)
    unit = int(text, 2).to_bytes(len(text) // 8, "big")
    record = bytes([1, 100, 0, 30, 255, 225]) + len(unit).to_bytes(2, "big") + unit
    assert is_progressive("h264", record) is expected


def test_headers_that_end_early_prove_nothing() -> None:
    record = bytes.fromhex("014d401effe1001b674d401eeca0a0")
    assert [is_progressive("h264", record[:length]) for length in range(len(record) + 1)] == [False] * (len(record) + 1)
