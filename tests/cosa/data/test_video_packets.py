from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from cosa.data.video_packets import Packet, timeline_of
from cosa.data.videos import probe_video, read_video
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video, number_of

STILL = Path(__file__).parent / "still.ogv"  # 1 s of moving pictures and 2 s of a still one, which packets of no bytes repeat


def numbers(path: Path, frames_per_second: float) -> list[int]:
    return [number_of(picture) for picture in read_video(path, frames_per_second)]


@pytest.mark.parametrize(("codec", "options"), [("mpeg1video", {}), ("mpeg2video", {"bf": "2"}), ("mpeg1video", {"bf": "2"})])
def test_joined_mpeg_files_keep_all_their_parts(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    """Timestamps begin anew in every part."""
    parts = [make_video(tmp_path / f"{n}.mpg", codec, rate=25, frames=n, options=options) for n in (25, 30)]
    joined = tmp_path / "joined.vob"
    joined.write_bytes(b"".join(part.read_bytes() for part in (*parts, parts[0])))
    assert probe_video(joined).duration == pytest.approx(3.2, abs=1e-3)
    assert numbers(joined, 25) == [*range(25), *range(30), *range(25)]


def test_packets_of_no_bytes_repeat_the_picture(tmp_path: Path) -> None:
    assert probe_video(STILL).duration == pytest.approx(3.0)
    pictures = list(read_video(STILL, 10))
    assert len(pictures) == 30
    assert len({picture.tobytes() for picture in pictures[:10]}) == 10
    assert all(np.abs(picture.astype(int) - pictures[12]).max() <= 8 for picture in pictures[12:])
    half = tmp_path / "half.ogv"
    half.write_bytes(STILL.read_bytes()[:2500])
    with pytest.raises(DataError, match=r"half\.ogv"):
        list(read_video(half, 10))


def test_avi_counts_chunks_of_no_bytes(tmp_path: Path) -> None:
    """They stand for frames that a capture card dropped."""
    content = make_video(tmp_path / "a.avi", "mpeg4", frames=10).read_bytes()
    start = content.find(b"movi") + 4
    chunks, position = [], start
    while content[position : position + 4] == b"00dc":
        length = int.from_bytes(content[position + 4 : position + 8], "little")
        chunks.append(content[position : position + 8 + length + length % 2])
        position += len(chunks[-1])
    body = b"".join([*chunks[:5], *[b"00dc" + bytes(4)] * 5, *chunks[5:]])
    written = bytearray(content[:start] + body)
    written[start - 8 : start - 4] = (len(body) + 4).to_bytes(4, "little")
    written[4:8] = (len(written) - 8).to_bytes(4, "little")
    for header, offset in ((b"strh", 40), (b"avih", 24)):
        place = written.find(header) + offset
        written[place : place + 4] = (15).to_bytes(4, "little")
    (tmp_path / "dropped.avi").write_bytes(written)
    assert numbers(tmp_path / "dropped.avi", 10) == [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("header", [b"mdhd", b"mvhd"])
def test_a_time_scale_of_zero_is_refused(tmp_path: Path, header: bytes) -> None:
    """The demuxer puts 1 in its place, which makes hours of a second."""
    path = make_video(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    place = content.find(header) + 16  # type, version, two times
    content[place : place + 4] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.mp4: its header \({header.decode()}\) has a time scale of 0"):
        list(read_video(path, 4))


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.gif"])
def test_other_containers_survive_a_time_scale_of_zero(tmp_path: Path, name: str) -> None:
    """Their demuxers take what another header says, or the default that the container's standard names."""
    arguments: dict[str, Any] = {
        "a.avi": {"codec": "mpeg4"},
        "a.mkv": {},
        "a.gif": {"codec": "gif", "pixel_format": "rgb8"},
    }[name]
    path = make_video(tmp_path / name, frames=10, **arguments)
    content = bytearray(path.read_bytes())
    mark, offset, length = {
        "a.avi": (b"strh", 28, 4),
        "a.mkv": (bytes.fromhex("2ad7b1"), 4, 3),
        "a.gif": (b"!\xf9\4", 4, 2),
    }[name]
    place = content.find(mark)
    while place >= 0:
        content[place + offset : place + offset + length] = bytes(length)
        place = content.find(mark, place + 1)
    path.write_bytes(content)
    assert numbers(path, 10) == list(range(10))


def test_frames_that_are_missing_in_the_middle_are_an_error(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mpg", "mpeg1video", rate=25, frames=250, size=(320, 240))
    content, pack = path.read_bytes(), 2048
    path.write_bytes(content[: 18 * pack] + content[26 * pack :])  # complete packs are lost: every remaining one is right
    with pytest.raises(DataError, match=r"a\.mpg: no frames from 3\.16 s to 4\.64 s; data are missing there"):
        list(read_video(path, 25))


def test_broadcast_clocks_that_jump_are_an_error(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.ts"), "w", format="mpegts") as output:
        stream: Any = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), format="rgb24")
            frame.pts = number if number < 10 else number + 3000
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(DataError, match=r"no frames from 0\.90 s to 301\.00 s; data are missing there, or files were joined"):
        list(read_video(tmp_path / "a.ts", 4))


RNG = np.random.default_rng(3)
SHOWN_AT = {  # milliseconds
    "a gap near the end": [0, 100, 1000, 2000, 2100],
    "a gap in the middle": [0, 40, 80, 120, 3000, 3040, 3080, 3120],
    "slower at the end": [*range(0, 800, 40), *range(800, 4800, 500)],
    "random": (np.cumsum(RNG.integers(20, 300, 30)) - 20).tolist(),
    "steady": list(range(0, 1200, 40)),
}


@pytest.mark.parametrize("kind", SHOWN_AT)
def test_a_clip_ends_where_its_last_frame_does(tmp_path: Path, kind: str) -> None:
    """In mp4, the length of a packet says when the next is decoded: with B-frames, that is another than is shown next."""
    times = SHOWN_AT[kind]
    arguments: dict[str, Any] = {"frames": len(times), "milliseconds": times, "options": {"bf": "3"}}
    own = probe_video(make_video(tmp_path / "a.mkv", **arguments)).duration
    assert own == pytest.approx((times[-1] - times[0]) / 1000 + 0.1)  # The coder gives the last frame a tenth of a second.
    mp4 = make_video(tmp_path / "a.mp4", **arguments)
    assert probe_video(mp4).duration == pytest.approx(own)
    found = [number_of(picture) for picture in read_video(mp4, 10)]
    assert found == [number_of(picture) for picture in read_video(tmp_path / "a.mkv", 10)]
    assert found.count(found[-1]) <= 2


def test_a_steady_rate_is_not_doubted_for_the_length_of_its_last_packet(tmp_path: Path) -> None:
    order = (0, 3, 1, 2, 6, 4, 5)
    packets = [Packet(40 * place - 40, 40 * shown, 40, place == 0, False, False) for place, shown in enumerate(order)]
    codec = SimpleNamespace(name="h264")
    stream = SimpleNamespace(time_base=Fraction(1, 1000), average_rate=25, codec_context=codec)
    container = SimpleNamespace(format=SimpleNamespace(name="mov,mp4"))
    packets[-1] = packets[-1]._replace(length=1)
    assert timeline_of(packets, container, stream, tmp_path).duration == pytest.approx(0.28)
    packets[2] = packets[2]._replace(length=400)  # Its length is no longer that of the others,
    packets[4] = packets[4]._replace(length=400)  # and neither is that of the one that is shown last.
    assert timeline_of(packets, container, stream, tmp_path).duration == pytest.approx(0.241)
