"""Odd video files: how each is made, and what has to become of it."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.cosa.data.drawn_videos import make_video
from tests.cosa.data.odd_files import Odd, half, written
from tests.cosa.data.odd_pictures import saved

RATE, FRAMES, TAKEN = 10, 40, 4  # frames a second, frames of a clip, and frames that are taken a second
ALL = tuple(int(RATE * (k + 0.5) / TAKEN) for k in range(FRAMES * TAKEN // RATE))
VP9 = {"deadline": "realtime", "cpu-used": "8"}
X265 = {"x265-params": "log-level=none"}
AT_25 = tuple(int(25 * (k + 0.5) / TAKEN) for k in range(FRAMES * TAKEN // RATE))
STILL = Path(__file__).with_name("still.ogv")


def clip(**arguments: Any) -> Callable[[Path], object]:
    return lambda path: make_video(path, **{"frames": FRAMES, **arguments})


def changed(change: Callable[[bytes], bytes], **arguments: Any) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        clip(**arguments)(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def renamed(name: str, **arguments: Any) -> Callable[[Path], object]:
    """A clip that is made under another name: its suffix says something else."""

    def make(path: Path) -> None:
        clip(**arguments)(path.with_name(name))
        path.with_name(name).rename(path)

    return make


def zeros_inside(content: bytes) -> bytes:
    third = len(content) // 3
    return content[:third] + bytes(third) + content[2 * third :]


def matrix(a: int, b: int, c: int, d: int, content: bytes) -> bytes:
    place = content.find(b"tkhd") + 44
    turned = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return content[:place] + turned + content[place + 36 :]


def lasting(seconds: int, content: bytes) -> bytes:
    """A clip whose headers claim so many seconds."""
    changed = bytearray(content)
    for box, after in ((b"mvhd", 16), (b"mdhd", 16)):
        place = content.find(box) + 4
        [scale] = struct.unpack(">I", content[place + after - 4 : place + after])
        changed[place + after : place + after + 4] = struct.pack(">I", scale * seconds)
    return bytes(changed)


def sound(output: Any, seconds: int) -> None:
    stream = output.add_stream("aac", rate=44100)
    for _ in range(seconds):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def sound_alone(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as output:
        sound(output, 2)


def with_sound(path: Path) -> None:
    silent = make_video(path.with_name("silent.mp4"), frames=FRAMES)
    with av.open(str(silent)) as source, av.open(str(path), "w") as output:
        copy = output.add_stream_from_template(source.streams.video[0])
        audio: Any = output.add_stream("aac", rate=44100)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
        for _ in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            output.mux(audio.encode(frame))
        output.mux(audio.encode(None))


def growing(path: Path) -> None:
    """A recording whose pictures grow on the way."""
    first, second = (make_video(path.with_name(f"{n}.ts"), frames=20, size=(64 + 32 * n, 48)) for n in range(2))
    with av.open(str(first)) as one, av.open(str(second)) as other, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(one.streams.video[0])
        for source, later in ((one, 0), (other, 2)):
            for packet in source.demux(video=0):
                if packet.dts is not None and packet.pts is not None:
                    offset = int(later / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    output.mux(packet)


def joined(path: Path) -> None:
    """Two recordings, byte by byte."""
    content = make_video(path.with_name("part.ts"), frames=20).read_bytes()
    path.write_bytes(content + content[188 * 3 + 50 :])


def cut(path: Path) -> None:
    """A stream copy from 0.7 s on keeps the frames before the cut, and an edit list hides them."""
    complete = make_video(path.with_name("complete.mp4"), frames=FRAMES, options={"bf": "3"})
    with av.open(str(complete)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        offset = int(Fraction(7, 10) / (stream.time_base or 1))
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, copy
                target.mux(packet)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 * 2**30)


def loop(path: Path) -> None:
    other = path.with_name("other.mp4")
    path.symlink_to(other)
    other.symlink_to(path)


VIDEOS = (
    Odd("h264.mp4", "H.264 with B-frames", clip(options={"bf": "3"}), ALL),
    Odd(
        "fragments.mp4", "fragmented, no duration in its header", clip(container={"movflags": "frag_keyframe+empty_moov"}), ALL
    ),
    Odd("open.mkv", "H.264, open groups of pictures", clip(options={"bf": "3", "x264-params": "open-gop=1:keyint=8"}), ALL),
    Odd(
        "refresh.mp4", "H.264 without key frames but the first", clip(options={"x264-params": "intra-refresh=1:bframes=0"}), ALL
    ),
    Odd("interlaced.mp4", "H.264, interlaced", clip(options={"x264-params": "tff=1"}), ALL),
    Odd("10bit.mp4", "H.264, 10 bits", clip(pixel_format="yuv420p10le"), ALL),
    Odd("422.mp4", "H.264, 4:2:2", clip(pixel_format="yuv422p"), ALL),
    Odd("444.mp4", "H.264, 4:4:4", clip(pixel_format="yuv444p"), ALL),
    Odd("grey.mp4", "H.264, grey", clip(pixel_format="gray"), ALL),
    Odd("rgb.mp4", "H.264, RGB", clip(codec="libx264rgb", pixel_format="rgb24"), ALL),
    Odd("odd.mp4", "65 x 49 pixels, 4:4:4", clip(pixel_format="yuv444p", size=(65, 49)), ALL),
    Odd("odd.webm", "57 x 47 pixels, VP9", clip(codec="libvpx-vp9", options=VP9, size=(57, 47)), ALL),
    Odd("wide.mp4", "1920 x 16 pixels", clip(size=(1920, 16)), ALL),
    Odd("hevc.mp4", "HEVC", clip(codec="libx265", options=X265), ALL),
    Odd("hevc10.mkv", "HEVC, 10 bits", clip(codec="libx265", options=X265, pixel_format="yuv420p10le"), ALL),
    Odd("vp8.webm", "VP8", clip(codec="libvpx", options=VP9), ALL),
    Odd("vp9.webm", "VP9", clip(codec="libvpx-vp9", options=VP9), ALL),
    Odd("alpha.webm", "VP9 with transparency", clip(codec="libvpx-vp9", options=VP9, pixel_format="yuva420p"), ALL),
    Odd("live.webm", "no duration, no index", clip(codec="libvpx-vp9", options=VP9, container={"live": "1"}), ALL),
    Odd("av1.mp4", "AV1", clip(codec="libsvtav1", options={"preset": "12"}), ALL),
    Odd("av1_10.webm", "AV1, 10 bits", clip(codec="libsvtav1", options={"preset": "12"}, pixel_format="yuv420p10le"), ALL),
    Odd("prores.mov", "ProRes", clip(codec="prores_ks", pixel_format="yuv422p10le"), ALL),
    Odd("mjpeg.avi", "Motion JPEG in AVI", clip(codec="mjpeg", pixel_format="yuvj420p"), ALL),
    Odd("ffv1.mkv", "FFV1", clip(codec="ffv1"), ALL),
    Odd("mpeg4.avi", "MPEG-4 with packed B-frames in AVI", clip(codec="mpeg4", options={"bf": "2"}), ALL),
    Odd("program.mpg", "MPEG-2 program stream", clip(codec="mpeg2video", rate=25, frames=100), AT_25),
    Odd("transport.ts", "MPEG transport stream", clip(as_format="mpegts"), ALL),
    Odd("flash.flv", "Flash video", clip(), ALL),
    Odd("windows.wmv", "WMV 8", clip(codec="wmv2"), ALL),
    Odd("moving.gif", "animated GIF", clip(codec="gif", pixel_format="rgb8"), ALL),
    Odd("one.gif", "GIF of one picture", clip(codec="gif", pixel_format="rgb8", frames=1), (0,)),
    Odd("one.mp4", "one frame", clip(frames=1), (0,)),
    Odd("short.mp4", "0.3 s", clip(frames=3), (1,)),
    Odd(
        "variable.mp4",
        "variable frame rate",
        clip(milliseconds=[0, 100, 1000, 2000, 2100], frames=5, options={"bf": "0"}),
        (1, 1, 1, 1, 2, 2, 2, 2, 4),
    ),
    Odd("cut.mp4", "cut by an edit list", cut, tuple(7 + int(RATE * (k + 0.5) / TAKEN) for k in range(13))),
    Odd("turned.mp4", "rotated by 180 degrees, twice", changed(partial(matrix, 1, 0, 0, 1)), ALL),
    Odd("sound.mp4", "with a sound track", with_sound, ALL),
    Odd("mp4.avi", "mp4 under the name of an AVI", renamed("a.mp4"), ALL),
    Odd("mkv.mp4", "Matroska under the name of an mp4", renamed("a.mkv"), ALL),
    Odd("empty.mp4", "0 bytes", written(b""), r"is empty \(0 bytes\)"),
    Odd("text.mp4", "text", written("hello\n" * 100), "is not a video"),
    Odd("page.mp4", "a server's error page", written("<!DOCTYPE html><html><body>404</body></html>"), "is not a video"),
    Odd(
        "playlist.mp4",
        "a playlist of other files",
        written("#EXTM3U\n#EXTINF:4,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
        "is not a video",
    ),
    Odd(
        "concat.mp4",
        "a list of other files",
        written("ffconcat version 1.0\nfile /etc/passwd\n"),
        "is not a video|cannot be read",
    ),
    Odd("archive.mp4", "a ZIP archive", written(b"PK\3\4" + bytes(range(256)) * 20), "is not a video"),
    Odd("picture.mp4", "a JPEG", saved("JPEG"), "cannot be read as a video"),
    Odd("random.mp4", "random bytes", written(np.random.default_rng(0).bytes(50_000)), "is not a video|cannot be read"),
    Odd("half.mp4", "half of an mp4, its index at the end", changed(half, noise=True), "is not a video|cannot be read"),
    Odd(
        "half_fast.mp4",
        "half of an mp4, its index in front",
        changed(half, noise=True, container={"movflags": "faststart"}),
        "truncated|ends",
    ),
    Odd("half.mkv", "half of a Matroska file", changed(half, noise=True), "truncated"),
    Odd("half.webm", "half of a WebM file", changed(half, noise=True, codec="libvpx-vp9", options=VP9), "truncated"),
    Odd(
        "zeros.mp4",
        "zeros where an interrupted download has its middle",
        changed(zeros_inside, noise=True),
        "damaged|cannot be|not a video",
    ),
    Odd(
        "tail.mp4",
        "bytes of another file behind its end",
        changed(lambda content: content + content, noise=True),
        "a second file is appended",
    ),
    Odd("claims.mp4", "its header claims 100 hours", changed(partial(lasting, 360_000)), ALL),
    Odd("audio.mp4", "sound alone", sound_alone, "no video stream"),
    Odd("sizes.ts", "pictures that grow on the way", growing, "picture size changes"),
    Odd("joined.ts", "two recordings, cut and joined inside of a packet", joined, "truncated or damaged"),
    Odd("sparse.mp4", "3 GiB of zeros that take no disk", sparse, "is not a video|cannot be read"),
    Odd("pipe.mp4", "a pipe that nobody writes to", os.mkfifo, r"is a pipe \(FIFO\)"),
    Odd("folder.mp4", "a folder", Path.mkdir, "no clip 'folder'"),
    Odd("loop.mp4", "links that lead in a circle", loop, "leads in a circle"),
    Odd("dangling.mp4", "a link that leads nowhere", lambda path: path.symlink_to("nowhere.mp4"), "is missing"),
    Odd("device.mp4", "a link to /dev/zero", lambda path: path.symlink_to("/dev/zero"), "is a link to /dev/zero, outside"),
    Odd(
        "still.ogv",
        "Theora whose packets are mostly empty",
        lambda path: path.write_bytes(STILL.read_bytes()),
        (150,) * 4 + (0,) * 8,
    ),
)
