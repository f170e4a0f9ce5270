"""Frames after seeking are those of decoding in order, to the byte, and most of a file is not decoded for them."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cosa.data import video_seeking
from cosa.data.decoders import decoder_of
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frame_times import FrameTimes, frame_times
from cosa.data.video_seeking import sample_by_seeking
from cosa.data.videos import OpenedVideo, open_video, sample_video
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video

FRAMES = 60
X264 = {"bf": "3", "x264-params": "keyint=12:min-keyint=12:scenecut=0:b-pyramid=normal"}
OPEN = {"bf": "3", "x264-params": "keyint=12:min-keyint=12:scenecut=0:open-gop=1"}
REFRESH = {"bf": "0", "x264-params": "keyint=12:intra-refresh=1"}
X265 = {"x265-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:open-gop={}:log-level=none"}
VPX = {"g": "12", "deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "12"}
VARIABLE = np.cumsum(np.random.default_rng(3).integers(20, 300, FRAMES)).tolist()

# name, how it is made, the most pictures that one frame near the end may take (None: it is decoded in order)
KINDS: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "closed groups": ("a.mp4", {"options": X264}, 12),
    "matroska": ("a.mkv", {"options": X264}, 12),
    "fast start": ("a.mp4", {"options": X264, "container": {"movflags": "faststart"}}, 12),
    "fragments": ("a.mp4", {"options": X264, "container": {"movflags": "frag_keyframe+empty_moov"}}, 12),
    "open groups": ("a.mp4", {"options": OPEN}, FRAMES),
    "open groups in matroska": ("a.mkv", {"options": OPEN}, FRAMES),
    "no key frames": ("a.mp4", {"options": REFRESH}, FRAMES),
    "variable rate": ("a.mp4", {"options": X264, "milliseconds": VARIABLE}, 12),
    "ten bits": ("a.mp4", {"options": X264, "pixel_format": "yuv420p10le"}, 12),
    "h265": ("a.mp4", {"codec": "libx265", "options": {"x265-params": X265["x265-params"].format(0)}}, 14),
    "h265, open groups": ("a.mkv", {"codec": "libx265", "options": {"x265-params": X265["x265-params"].format(1)}}, 28),
    "vp9": ("a.webm", {"codec": "libvpx-vp9", "options": VPX}, 12),
    "vp8": ("a.webm", {"codec": "libvpx", "options": VPX}, 14),
    "mjpeg": ("a.mov", {"codec": "mjpeg", "pixel_format": "yuvj420p"}, 1),
    "prores": ("a.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}, 1),
    "av1": ("a.mp4", {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "keyint=12"}}, None),
    "transport stream": ("a.ts", {"options": X264}, None),
    "avi": ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}, None),
    "wmv": ("a.wmv", {"codec": "wmv2"}, None),
    "gif": ("a.gif", {"codec": "gif", "pixel_format": "rgb8"}, None),
}


def made(folder: Path, kind: str) -> OpenedVideo:
    name, arguments, _ = KINDS[kind]
    return open_video(make_video(folder / name, frames=FRAMES, noise=True, **arguments))


def read(video: OpenedVideo, places: list[int], times: FrameTimes) -> list[np.ndarray]:
    return list(decoder_of(video).function()(video, times, places))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_of_decoding_in_order(tmp_path: Path, kind: str) -> None:
    video = made(tmp_path, kind)
    rng = np.random.default_rng(0)
    for settings in (ExtractionSettings(fps=4), ExtractionSettings(frames_per_clip="all"), ExtractionSettings(fps=25)):
        times = frame_times(video, settings)
        expected = list(sample_video(video, times))
        chosen = [sorted(rng.choice(len(times), size, replace=False).tolist()) for size in (1, 1, 1, 2, 4, 8)]
        for places in ([0], [len(times) - 1], *chosen, list(range(len(times)))):
            found = read(video, places, times)
            assert all(np.array_equal(picture, expected[place]) for picture, place in zip(found, places, strict=True)), places


@pytest.mark.parametrize("kind", [kind for kind, (_, _, most) in KINDS.items() if most is not None])
def test_only_what_is_needed_is_decoded(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    video, shown = made(tmp_path, kind), []
    real = video_seeking._wanted_of
    monkeypatch.setattr(video_seeking, "_wanted_of", lambda frames, asked: real([shown.append(f) or f for f in frames], asked))
    monkeypatch.setattr(video_seeking, "sample_video", None)  # It is not needed.
    most = KINDS[kind][2]
    for place in (FRAMES - 8, FRAMES - 1):
        shown.clear()
        list(sample_by_seeking(video, frame_times(video, ExtractionSettings(frames_per_clip="all")), [place]))
        assert most is not None
        assert 1 <= len(shown) <= most


def test_pictures_that_nothing_refers_to_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, shown = made(tmp_path, "closed groups"), []
    real = video_seeking._wanted_of
    monkeypatch.setattr(video_seeking, "_wanted_of", lambda frames, asked: real([shown.append(f) or f for f in frames], asked))
    list(sample_by_seeking(video, frame_times(video, ExtractionSettings(frames_per_clip="all")), [FRAMES - 1]))
    assert len(shown) <= 8  # Of the 12 of a group.


def test_a_cut_by_an_edit_list_is_read_in_order(tmp_path: Path) -> None:
    complete, cut = make_video(tmp_path / "complete.mp4", frames=FRAMES, options=X264, noise=True), tmp_path / "cut.mp4"
    with av.open(str(complete)) as source, av.open(str(cut), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts -= int(0.7 / packet.time_base)
                packet.dts -= int(0.7 / packet.time_base)
                packet.stream = copy
                target.mux(packet)
    video = open_video(cut)
    assert video.points is None
    times = frame_times(video, ExtractionSettings(fps=10))
    expected = list(sample_video(video, times))
    for place in (0, 17, len(times) - 1):
        assert np.array_equal(read(video, [place], times)[0], expected[place])


def test_damage_is_found_where_frames_are_wanted(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "a.mkv", frames=FRAMES, options=X264, noise=True)
    video = open_video(whole)
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        begin, end = packets[36].pos, packets[37].pos
    content = bytearray(whole.read_bytes())
    content[begin + 60 : end - 20] = bytes(end - begin - 80)
    whole.write_bytes(content)
    times = frame_times(video, ExtractionSettings(frames_per_clip="all"))
    with pytest.raises(DataError, match=r"a\.mkv"):
        read(video, [38], times)
    assert read(video, [5], times)[0].shape == (48, 64, 3)
