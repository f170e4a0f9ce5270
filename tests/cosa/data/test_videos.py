import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cosa.data.extraction import extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.media_limits import MediaLimits
from cosa.data.videos import probe_video, read_video
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video, number_of, numbered_picture
from tests.cosa.data.odd_videos import cut
from tests.cosa.data.test_pictures import gif_bomb


def numbers(path: Path, frames_per_second: float) -> list[int]:
    return [number_of(picture) for picture in read_video(path, frames_per_second)]


VP9 = {"deadline": "realtime", "cpu-used": "8"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
FAST_START = {"movflags": "faststart"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.mp4", {}),
        ("fragmented.mp4", {"container": FRAGMENTED}),
        ("a.mkv", {}),
        ("a.flv", {}),
        ("a.webm", {"codec": "libvpx-vp9", "options": VP9}),
        ("a.ts", {"as_format": "mpegts"}),
        ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("h264.avi", {"options": {"bf": "2"}}),
        ("a.wmv", {"codec": "wmv2"}),
        ("a.gif", {"codec": "gif", "pixel_format": "rgb8"}),
    ],
)
def test_every_container_shows_the_right_frames(tmp_path: Path, name: str, arguments: Any) -> None:
    path = make_video(tmp_path / name, **arguments)
    info = probe_video(path)
    assert (info.width, info.height) == (64, 48)
    assert info.duration == pytest.approx(4.0, abs=1e-3)
    assert info.frames_per_second == pytest.approx(10.0, abs=1e-2)
    assert numbers(path, 4) == [int(10 * (k + 0.5) / 4) for k in range(16)]
    assert numbers(path, 10) == list(range(40)) or name.endswith(".mkv")  # its timestamps are whole milliseconds


def test_odd_frame_rate_and_its_pixels(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", rate=Fraction(30000, 1001), frames=61, size=(160, 90))
    expected = [int((k + 0.5) / 3 * 30000 / 1001) for k in range(6)]
    assert numbers(path, 3) == expected
    for picture, number in zip(read_video(path, 3), expected, strict=True):
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - numbered_picture(number, 160, 90)).mean() < 6


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("seed", [0, 1])
def test_variable_frame_rate_uses_real_timestamps(tmp_path: Path, suffix: str, seed: int) -> None:
    steps = np.random.default_rng(seed).integers(20, 400, 39)
    milliseconds = [0, *np.cumsum(steps).tolist()]
    path = make_video(tmp_path / f"a{suffix}", milliseconds=milliseconds, options={"bf": "2"})
    read = numbers(path, 5)
    for k, number in enumerate(read):
        time = 1000 * (k + 0.5) / 5
        assert milliseconds[number] <= time + 1
        assert number == 39 or time < milliseconds[number + 1] + 1
    assert len(read) == round(probe_video(path).duration * 5)


def test_short_and_sparse_sampling(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=3)
    assert numbers(path, 1) == [2]  # 0.3 s: one frame, the one shown at 0.5 s or else the last
    assert numbers(path, 40) == [0] * 4 + [1] * 4 + [2] * 4
    assert numbers(make_video(tmp_path / "single.mp4", frames=1), 4) == [0]
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            read_video(path, wrong)


def test_cut_by_edit_list_begins_at_the_cut(tmp_path: Path) -> None:
    """A stream copy keeps the frames before the cut but hides them."""
    path = tmp_path / "cut.mp4"
    cut(path)
    assert probe_video(path).duration == pytest.approx(3.3, abs=1e-3)
    assert numbers(path, 10) == list(range(7, 40))


MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("degrees", sorted(MATRICES))
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_rotation_flag_is_applied(tmp_path: Path, degrees: int, codec: str) -> None:
    path = make_video(tmp_path / "a.mp4", codec, rate=25, size=(64, 32))
    upright = next(read_video(path, 4))
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 4 + 4 + 20 + 8 + 8  # type, version, times, reserved, layer to volume
    a, b, c, d = (value << 16 for value in MATRICES[degrees])
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    turned = next(read_video(path, 4))
    assert np.abs(turned.astype(int) - np.rot90(upright, -degrees // 90)).mean() < 3


def damaged_file(folder: Path, kind: str) -> Path:
    sources: dict[str, Any] = {
        "truncated.mp4": {"container": FAST_START},
        "truncated.avi": {"codec": "mpeg4"},
        "truncated.mkv": {},
        "truncated.flv": {},
        "truncated.gif": {"codec": "gif", "pixel_format": "rgb8"},
        "overwritten.mp4": {"container": FAST_START},
        "overwritten.ts": {"as_format": "mpegts"},
    }
    path = folder / kind
    if kind in sources:
        content = bytearray(make_video(path, frames=120, size=(320, 240), **sources[kind]).read_bytes())
        middle = len(content) // 2
        if kind.startswith("truncated"):
            del content[middle:]
        else:
            content[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
        path.write_bytes(content)
    elif kind == "sound.mp4":
        with av.open(str(path), "w") as output:
            stream: Any = output.add_stream("aac", rate=44100)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    else:
        secret = make_video(folder / "secret.ts", as_format="mpegts")
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{secret}\n#EXT-X-ENDLIST\n"
        concat = f"ffconcat version 1.0\nfile {secret}\n"
        texts = {"zero.mp4": "", "text.mp4": "hello\n" * 100, "playlist.m3u8.mp4": playlist, "concat.mp4": concat}
        path.write_text(texts[kind])
    return path


DAMAGED = [
    ("zero.mp4", r"is empty \(0 bytes\)"),
    ("text.mp4", r"text\.mp4 is not a video, or incomplete or damaged; fetch it again"),
    ("playlist.m3u8.mp4", "is not a video"),
    ("concat.mp4", "cannot be read as a video|is not a video"),
    ("sound.mp4", "no video stream"),
    ("truncated.mp4", "truncated"),
    ("truncated.avi", "truncated"),
    ("truncated.mkv", "truncated"),
    ("truncated.flv", "truncated"),
    ("truncated.gif", "truncated"),
    ("overwritten.mp4", "damaged|cannot be read"),
    ("overwritten.ts", "damaged|cannot be read"),
]


@pytest.mark.parametrize(("kind", "message"), DAMAGED)
def test_bad_media_are_an_error_to_readers_and_a_record_to_extraction(tmp_path: Path, kind: str, message: str) -> None:
    path = damaged_file(tmp_path, kind)
    with pytest.raises(DataError, match=message) as raised:
        list(read_video(path, 4))
    record = extract_frames(path, tmp_path / "frames" / "clip", ExtractionSettings(fps=4), video_id="clip")
    assert record.error == str(raised.value)
    assert str(path) in record.error
    assert (record.video_id, record.frames, record.bytes) == ("clip", 0, 0)
    assert list((tmp_path / "frames").iterdir()) == []


def test_missing_video(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none.mp4", "is missing or not a file"), (tmp_path, "is a folder, not a file")):
        assert message in str(extract_frames(path, tmp_path / "out", ExtractionSettings(fps=4)).error)


def test_the_size_of_a_clip_is_bounded(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    assert len(list(read_video(path, 4, MediaLimits(64 * 48, 4.0, 16)))) == 16
    for limits, message in (
        (MediaLimits(pixels=64 * 48 - 1), r"64 x 48 pixels, more than the 3071 that max_pixels"),
        (MediaLimits(seconds=3.9), r"span 4 s, more than the 4 s that max_seconds"),
        (MediaLimits(frames=15), r"16 frames would be taken of 4 s, more than the 15 that max_frames"),
    ):
        with pytest.raises(DataError, match=rf"a\.mp4: .*{message}"):
            list(read_video(path, 4, limits))


def test_a_gif_of_some_bytes_can_claim_neither_pixels_nor_days(tmp_path: Path) -> None:
    (tmp_path / "large.gif").write_bytes(gif_bomb(65535, 65535))
    with pytest.raises(DataError, match=r"large\.gif cannot be read .* more than the 64000000 pixels of max_pixels"):
        list(read_video(tmp_path / "large.gif", 4))
    slow = make_video(tmp_path / "slow.gif", "gif", pixel_format="rgb8")
    content, control = slow.read_bytes(), b"!\xf9\4"
    delayed = control.join(part[:1] + b"\xff\xff" + part[3:] if n else part for n, part in enumerate(content.split(control)))
    slow.write_bytes(delayed)
    with pytest.raises(
        DataError, match=r"slow\.gif: its timestamps span 26214 s, more than the 3600 s that max_seconds allows"
    ):
        list(read_video(slow, 4))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mpg", "mpeg1video"), ("b.mpg", "mpeg2video"), ("a.mp4", "libx264"), ("a.mkv", "libx264"), ("c.mp4", "mpeg4"),
     ("a.avi", "mpeg4"), ("a.flv", "flv"), ("b.flv", "libx264"), ("a.ts", "libx264")],
)  # fmt: skip
def test_a_picture_that_the_decoder_marks_is_damage(tmp_path: Path, name: str, codec: str) -> None:
    """Single bits flip inside pictures, so that headers and packets stay right; the decoders conceal all of it.

    Codecs whose data are dense (HEVC, VP9, AV1, MJPEG, WMV) decode such bits to other pictures, which nothing can tell.
    """
    path = make_video(tmp_path / name, codec, rate=25, frames=48, size=(160, 96), options={"b": "400000"}, noise=True)
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for place in rng.integers(len(content) // 3, len(content) // 3 * 2, 20):
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}.*(damaged|cannot be|missing)"):
        list(read_video(path, 4))


def test_pictures_that_the_decoder_leaves_out_are_damage(tmp_path: Path) -> None:
    """Many damaged bits make the HEVC decoder drop pictures without marking others."""
    options = {"x265-params": "log-level=none"}
    path = make_video(tmp_path / "a.mp4", "libx265", frames=48, size=(160, 96), options=options, noise=True)
    content = bytearray(path.read_bytes())
    start = len(content) // 2
    content[start : start + 6000] = np.random.default_rng(0).bytes(6000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mp4.*(damaged|cannot be)"):
        list(read_video(path, 4))
