"""The decoders of `DECODERS`: they give what PyAV gives in order, to the byte, for all that they claim, and refuse the rest."""

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cosa.data.clip_decoding import frame_contents, picture_of
from cosa.data.clip_errors import DecoderError
from cosa.data.decoder_process import DecoderProcess
from cosa.data.decoders import DECODER_NAMES, DECODERS, decoder_of, loaded, needs_more
from cosa.data.decoding_settings import DecodingSettings
from cosa.data.frame_times import FrameTimes, frame_times
from cosa.data.videos import OpenedVideo, open_video, read_video, sample_video
from cosa.errors import DataError, UserError
from tests.cosa.data.broken_decoders import without
from tests.cosa.data.drawn_videos import make_video
from tests.cosa.data.odd_files import Odd
from tests.cosa.data.odd_videos import VIDEOS
from tests.cosa.data.test_video_seeking import KINDS, made

OTHERS = [name for name in DECODER_NAMES if needs_more(name)]
# What the other decoders claim of the odd media and of those kinds. The rest may be interlaced, cut, open, of more bits, ...
ODD = {
    "alpha.webm", "claims.mp4", "fragments.mp4", "grey.mp4", "h264.mp4", "live.webm", "mkv.mp4", "mp4.avi", "one.mp4",
    "short.mp4", "sound.mp4", "turned.mp4", "variable.mp4", "vp8.webm", "vp9.webm", "wide.mp4",
}  # fmt: skip
CLAIMED = {"closed groups", "matroska", "fast start", "fragments", "no key frames", "variable rate", "vp8", "vp9"}
ONE, ALL = 1 << 16, 1 << 30  # of numbers with 16, and with 30 bits behind the point
TURNED_BY = {0: (ONE, 0, 0, 0, ONE, 0, 0, 0, ALL), 90: (0, ONE, 0, -ONE, 0, 0, 0, 0, ALL)}  # matrices of mp4
NOT_OPENED = {("decord", "live.webm")}  # It has no duration.


@pytest.fixture(scope="module")
def ffmpeg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PyAV's FFmpeg under the names by which torchcodec looks for it."""
    folder, libraries = tmp_path_factory.mktemp("ffmpeg"), Path(av.__file__).parents[1] / "av.libs"
    for path in libraries.glob("lib*.so.*"):
        name, _, rest = path.name.partition(".so.")
        (folder / f"{name.rpartition('-')[0]}.so.{rest.split('.')[0]}").symlink_to(path)
    return folder


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest, ffmpeg: Path) -> Iterator[tuple[str, DecoderProcess]]:
    pytest.importorskip(request.param)
    process = DecoderProcess(300.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", os.pathsep.join(map(str, (ffmpeg, Path(av.__file__).parents[1] / "av.libs"))))
        assert process.ask(loaded, request.param) == [request.param]
    yield request.param, process
    process.close()


def read(other: tuple[str, DecoderProcess], video: OpenedVideo, times: FrameTimes, places: list[int]) -> list[np.ndarray]:
    settings = DecodingSettings(decoder=other[0], exact=True)
    return [picture_of(content, settings) for content in other[1].ask(frame_contents, video, times, places, settings)]


def check_equal_or_refused(other: tuple[str, DecoderProcess], video: OpenedVideo, *, claimed: bool) -> None:
    times = frame_times(video, DecodingSettings(frames_per_clip="all"))
    if not claimed:
        with pytest.raises(
            DecoderError, match=rf"{other[0]} is not exact for it \({video.info.codec}, .*decoder of the dataset"
        ):
            read(other, video, times, [0])
        return
    expected, rng = list(sample_video(video, times)), np.random.default_rng(0)
    several = [sorted(rng.choice(len(times), min(len(times), size), replace=False).tolist()) for size in (1, 1, 2, 4, 8)]
    for places in ([0], [len(times) - 1], *several, list(range(len(times)))):
        found = read(other, video, times, places)
        assert all(np.array_equal(picture, expected[place]) for picture, place in zip(found, places, strict=True)), places
    # A frame that is shown at several times is taken several times.
    often = frame_times(video, DecodingSettings(fps=80))
    found = read(other, video, often, list(range(min(16, len(often)))))
    assert all(map(np.array_equal, found, sample_video(video, often)))


@pytest.mark.parametrize("odd", [odd for odd in VIDEOS if not odd.is_refused], ids=lambda odd: odd.name)
def test_odd_media_are_equal_or_refused(tmp_path: Path, other: tuple[str, DecoderProcess], odd: Odd) -> None:
    odd.make(tmp_path / odd.name)
    video = open_video(tmp_path / odd.name)
    if (other[0], odd.name) in NOT_OPENED:
        with pytest.raises(DataError, match="decord cannot read it"):
            read(other, video, frame_times(video, DecodingSettings()), [0])
        return
    check_equal_or_refused(other, video, claimed=odd.name in ODD)


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_are_equal_or_refused(tmp_path: Path, other: tuple[str, DecoderProcess], kind: str) -> None:
    check_equal_or_refused(other, made(tmp_path, kind), claimed=kind in CLAIMED)


BT_709 = "colormatrix=bt709:colorprim=bt709:transfer=bt709"
LOOKS: dict[str, dict[str, Any]] = {
    "BT.709": {"options": {"bf": "2", "x264-params": BT_709}},
    "BT.2020": {"options": {"x264-params": "colormatrix=bt2020nc:colorprim=bt2020:transfer=bt2020-10"}},
    "PAL": {"options": {"x264-params": "colormatrix=bt470bg:colorprim=bt470bg:transfer=bt470bg"}},
    "full range": {"options": {"x264-params": BT_709}, "pixel_format": "yuvj420p"},
    "chroma": {"options": {"x264-params": "chromaloc=2"}},
    "426 x 242": {"size": (426, 242)},
    "322 x 182": {"size": (322, 182), "codec": "libvpx", "name": "a.webm"},
    "turned": {"size": (320, 240), "quarter": True},
}


@pytest.mark.parametrize("look", LOOKS)
def test_colours_sizes_and_rotations_are_equal(tmp_path: Path, other: tuple[str, DecoderProcess], look: str) -> None:
    arguments = {"name": "a.mp4", "quarter": False, **LOOKS[look]}
    path = tmp_path / arguments.pop("name")
    is_turned = arguments.pop("quarter")
    make_video(path, frames=20, noise=True, **arguments)
    if is_turned:
        before, mark, header = path.read_bytes().partition(b"tkhd")
        as_is, quarter = (struct.pack(">9i", *values) for values in (TURNED_BY[0], TURNED_BY[90]))
        path.write_bytes(before + mark + header.replace(as_is, quarter, 1))
        assert next(read_video(path, 1)).shape == (320, 240, 3)
    check_equal_or_refused(other, open_video(path), claimed=True)


def test_of_several_video_streams_none_is_guessed(tmp_path: Path) -> None:
    made = {name: make_video(tmp_path / name, frames=20) for name in ("a.mp4", "b.mp4")}
    with av.open(str(tmp_path / "both.mp4"), "w") as target, ExitStack() as opened:
        sources = [opened.enter_context(av.open(str(path))) for path in made.values()]
        copies = [target.add_stream_from_template(source.streams.video[0]) for source in sources]
        for source, copy in zip(sources, copies, strict=True):
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = copy
                    target.mux(packet)
    video = open_video(tmp_path / "both.mp4")
    assert decoder_of(video).name == "pyav"
    with pytest.raises(DecoderError, match="2 video streams"):
        decoder_of(video, "decord")


def test_auto_takes_pyav_and_a_name_takes_that_decoder(tmp_path: Path) -> None:
    video = made(tmp_path, "closed groups")
    assert decoder_of(video) is decoder_of(video, "pyav") is DECODERS[0]
    assert [decoder_of(video, name).name for name in OTHERS] == OTHERS
    in_order = made(tmp_path, "wmv")
    assert decoder_of(in_order) is decoder_of(in_order, "pyav") is DECODERS[1]


def test_what_a_decoder_cannot_read_is_reported(tmp_path: Path, other: tuple[str, DecoderProcess]) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30, noise=True)
    video = open_video(path)
    make_video(path, frames=20)
    with pytest.raises(DataError, match=rf"a\.mp4: {other[0]} counts 20 frames, but its packets hold 30"):
        read(other, video, frame_times(video, DecodingSettings()), [0])
    path.write_bytes(b"no video")
    with pytest.raises(DataError, match=rf"a\.mp4: {other[0]} cannot read it; set decode.decoder to auto"):
        read(other, video, frame_times(video, DecodingSettings()), [0])


@pytest.mark.parametrize("name", OTHERS)
def test_one_that_is_not_installed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(without(tmp_path / "without", name))
    process = DecoderProcess(60.0)
    with pytest.raises(UserError, match=rf"{name} is not installed; .*pip install 'cosa-experiments\[{name}\]'.*decoder: auto"):
        process.ask(loaded, name)
    process.close()


def test_torchcodec_without_ffmpeg_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchcodec").mkdir()
    (tmp_path / "torchcodec" / "__init__.py").write_text("ffmpeg_major_version = None\n")
    (tmp_path / "torchcodec" / "decoders.py").write_text("VideoDecoder = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    process = DecoderProcess(60.0)
    with pytest.raises(UserError, match=r"torchcodec finds no FFmpeg .*apt-get install ffmpeg.*decoder: auto"):
        process.ask(loaded, "torchcodec")
    process.close()
