import errno
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from cosa.data.videos import (
    VideoIndex,
    extract_frames,
    find_video,
    probe_video,
    read_video,
    remove_partial_folders,
)
from cosa.errors import DataError

BITS = 8
MILLISECOND = Fraction(1, 1000)


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """Black and white stripes that spell the frame's number in binary, readable after any compression."""
    stripes = [255 * (number >> bit & 1) for bit in range(BITS) for _ in range(width // BITS)]
    return np.broadcast_to(np.array(stripes, np.uint8)[None, :, None], (height, width, 3)).copy()


def number_of(picture: np.ndarray) -> int:
    row = picture[picture.shape[0] // 2].mean(axis=1)
    return sum(int(row[int((bit + 0.5) * len(row) / BITS)] > 128) << bit for bit in range(BITS))


def numbers(path: Path, frames_per_second: float) -> list[int]:
    return [number_of(picture) for picture in read_video(path, frames_per_second)]


def make_video(
    path: Path,
    codec: str = "libx264",
    *,
    rate: Fraction | int = 10,
    frames: int = 40,
    size: tuple[int, int] = (64, 48),
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    milliseconds: Sequence[int] | None = None,
    as_format: str | None = None,
) -> Path:
    """A clip whose frames carry their numbers; `milliseconds` gives a variable frame rate."""
    with av.open(str(path), "w", format=as_format, options=container or {}) as output:
        stream: Any = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, pixel_format, 12
        if milliseconds is not None:
            stream.codec_context.time_base = MILLISECOND
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, *size), format="rgb24")
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[number], MILLISECOND
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


VP9 = {"deadline": "realtime", "cpu-used": "8"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
FAST_START = {"movflags": "faststart"}


@pytest.mark.parametrize(
    ("name", "reader", "arguments"),
    [
        ("a.mp4", "decord", {}),
        ("fragmented.mp4", "decord", {"container": FRAGMENTED}),
        ("a.mkv", "decord", {}),
        ("a.flv", "decord", {}),
        ("a.webm", "decord", {"codec": "libvpx-vp9", "options": VP9}),
        ("a.ts", "pyav", {"as_format": "mpegts"}),
        ("a.avi", "pyav", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("h264.avi", "pyav", {"options": {"bf": "2"}}),
        ("a.wmv", "pyav", {"codec": "wmv2"}),
        ("a.gif", "pyav", {"codec": "gif", "pixel_format": "rgb8"}),
    ],
)
def test_every_container_shows_the_right_frames(tmp_path: Path, name: str, reader: str, arguments: Any) -> None:
    path = make_video(tmp_path / name, **arguments)
    info = probe_video(path)
    assert (info.reader, info.width, info.height) == (reader, 64, 48)
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
@pytest.mark.parametrize("seed", [0, 1])  # decord's skip_frames, which is not used, goes wrong on seed 1
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
    """A stream copy keeps the frames before the cut but hides them: decord would show them."""
    whole, cut = make_video(tmp_path / "whole.mp4", options={"bf": "3"}), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        offset = int(Fraction(7, 10) / (stream.time_base or 1))
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, copy
                target.mux(packet)
    assert probe_video(cut).reader == "pyav"
    assert probe_video(cut).duration == pytest.approx(3.3, abs=1e-3)
    assert numbers(cut, 10) == list(range(7, 40))


MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("degrees", sorted(MATRICES))
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])  # decord and PyAV
def test_rotation_flag_is_applied(tmp_path: Path, degrees: int, codec: str) -> None:
    path = make_video(tmp_path / "a.mp4", codec, rate=25, size=(64, 32))
    upright = next(read_video(path, 4))
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 4 + 4 + 20 + 8 + 8  # type, version, times, reserved, layer to volume
    a, b, c, d = (value << 16 for value in MATRICES[degrees])
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    assert probe_video(path).reader == ("decord" if codec == "libx264" else "pyav")
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
    ("text.mp4", "cannot be read as a video"),
    ("playlist.m3u8.mp4", "cannot be read as a video"),
    ("concat.mp4", "cannot be read as a video"),
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
    record = extract_frames(path, tmp_path / "frames" / "clip", 4, video_id="clip")
    assert record.error == str(raised.value)
    assert str(path) in record.error
    assert (record.video_id, record.frames, record.bytes) == ("clip", 0, 0)
    assert list((tmp_path / "frames").iterdir()) == []


def test_missing_video(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path):
        assert "is missing or not a file" in str(extract_frames(path, tmp_path / "out", 4).error)


def test_extraction_writes_numbered_frames(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", size=(128, 96))
    folder = tmp_path / "frames" / "sub" / "clip"
    record = extract_frames(video, folder, 4, video_id="sub/clip")
    paths = sorted(folder.iterdir())
    assert [path.name for path in paths] == [f"frame_{k:04d}.jpg" for k in range(1, 17)]
    assert (record.video_id, record.frames, record.width, record.height) == ("sub/clip", 16, 128, 96)
    assert (record.reader, record.error, record.bytes) == ("decord", None, sum(p.stat().st_size for p in paths))
    assert record.duration == pytest.approx(4.0)
    shown = [int(10 * (k + 0.5) / 4) for k in range(16)]
    assert [number_of(np.asarray(Image.open(path))) for path in paths] == shown
    assert [path.name for path in folder.parent.iterdir()] == ["clip"]


def test_short_side_shrinks_but_never_enlarges(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", size=(128, 96))
    small = extract_frames(video, tmp_path / "small", 2, short_side=24)
    assert (small.width, small.height) == (32, 24)
    assert Image.open(tmp_path / "small" / "frame_0001.jpg").size == (32, 24)
    assert extract_frames(video, tmp_path / "large", 2, short_side=500).width == 128


def test_existing_frames_are_replaced_or_reused_on_request(tmp_path: Path) -> None:
    video, folder = make_video(tmp_path / "a.mp4"), tmp_path / "clip"
    first = extract_frames(video, folder, 4)
    kept = extract_frames(tmp_path / "gone.mp4", folder, 4, reuse=True)
    assert (kept.frames, kept.bytes, kept.width, kept.reader) == (first.frames, first.bytes, first.width, "existing")
    assert extract_frames(video, folder, 2).frames == 8
    assert len(list(folder.iterdir())) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "clip"]


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    video, folder = make_video(tmp_path / "a.mp4"), tmp_path / "clip"
    (folder / "b").mkdir(parents=True)
    with pytest.raises(DataError, match="holds 'b' beside frames"):
        extract_frames(video, folder, 4)
    assert (folder / "b").is_dir()


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    video, write = make_video(tmp_path / "a.mp4"), Path.write_bytes

    def fail_at_third(path: Path, content: bytes) -> int:
        if path.name == "frame_0003.jpg":
            raise failure
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_at_third)
    with pytest.raises(type(failure)) as raised:
        extract_frames(video, tmp_path / "frames" / "clip", 4)
    assert raised.value is failure
    assert list((tmp_path / "frames").iterdir()) == []


def test_left_over_partial_folders_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "sub" / f".clip.partial-{'0' * 32}"
    for folder in (left, tmp_path / "clip", tmp_path / ".hidden"):
        folder.mkdir(parents=True)
        (folder / "frame_0001.jpg").touch()
    assert remove_partial_folders(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "clip", "sub"]
    assert not left.exists()


def test_videos_are_found_by_identifier(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.mp4", "a.avi", "b.MKV", "c.d.webm", "sub/e.gif", "f.txt"):
        (tmp_path / name).touch()
    index = VideoIndex(tmp_path)
    found = {"a": "a.mp4", "a.avi": "a.avi", "b": "b.MKV", "c.d": "c.d.webm", "sub/e": "sub/e.gif"}
    for video_id, name in found.items():
        assert index.find(video_id) == find_video(tmp_path, video_id) == tmp_path / name
    for video_id in ("f", "f.txt", "c", "sub", "A"):
        with pytest.raises(DataError, match=r"is missing; tried .* \.mp4"):
            index.find(video_id)
    for video_id, message in (("nowhere/a", "missing or not a folder"), ("../a", "media identifier")):
        with pytest.raises(DataError, match=message):
            index.find(video_id)


def test_links_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "a.mp4").touch()
    (root / "b.mp4").touch()
    (root / "file.mp4").symlink_to(outside / "a.mp4")
    (root / "folder").symlink_to(outside)
    (root / "inside.mp4").symlink_to(root / "b.mp4")
    (tmp_path / "linked_root").symlink_to(root)
    for video_id in ("file", "folder/a"):
        with pytest.raises(DataError, match="outside the media folder"):
            VideoIndex(root).find(video_id)
    assert VideoIndex(root).find("inside") == root / "inside.mp4"
    assert VideoIndex(tmp_path / "linked_root").find("b").is_file()
