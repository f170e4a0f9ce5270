"""Frames that are decoded when they are wanted are those that extraction stores."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosa.data import decoded_clips
from cosa.data.clips import ClipReader
from cosa.data.dataset_files import DatasetFiles
from cosa.data.decoded_clips import DecodedClips, VideoFrame
from cosa.data.decoder_process import DecoderProcess
from cosa.data.decoding_settings import DecodingSettings
from cosa.data.extraction import extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frames import FrameFolders
from cosa.data.picture_sources import PictureFiles, pictures_of
from cosa.data.video_sources import VideoFolder
from cosa.data.videos import open_video, sample_video
from cosa.errors import DataError
from tests.cosa.data.broken_decoders import CRASHES, HANGS, broken_decord
from tests.cosa.data.drawn_videos import make_video

CLIPS = {"a": "a.mp4", "b/c": "b/c.mkv", "d": "d.avi"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips" / "b").mkdir(parents=True)
    for number, name in enumerate(CLIPS.values()):
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        make_video(tmp_path / "clips" / name, codec, frames=30 + number, noise=True, options={"bf": "2"})
    return tmp_path


def source(folder: Path, **settings: Any) -> DecodedClips:
    chosen = DecodingSettings.model_validate({"cache": str(folder / "cache"), **settings})
    return DecodedClips(VideoFolder(folder / "clips"), chosen, max_pixels=10**6)


@pytest.mark.parametrize("fields", [{}, {"fps": 7, "jpeg_quality": 60}, {"frames_per_clip": 5, "short_side": 30}])
@pytest.mark.parametrize("gigabytes", [0, 1])
def test_frames_are_those_of_extraction(folder: Path, fields: dict[str, Any], gigabytes: float) -> None:
    for clip, name in CLIPS.items():
        extract_frames(folder / "clips" / name, folder / "frames" / clip, ExtractionSettings(**fields))
    extracted = PictureFiles(FrameFolders(folder / "frames"))
    for training in (True, False):
        options: dict[str, Any] = {"frames": 3, "resolution": 24, "transforms": "crop_flip", "training": training}
        online = ClipReader(source(folder, cache_gigabytes=gigabytes, **fields), **options)
        stored = ClipReader(extracted, **options)
        for clip in CLIPS:
            for seed in range(4):
                drawn = [read(clip, np.random.default_rng(seed) if training else None) for read in (online, stored)]
                assert torch.equal(*drawn)


def test_exact_frames_are_those_of_the_decoder(folder: Path) -> None:
    clips = source(folder, exact=True)
    video = open_video(folder / "clips" / "a.mp4")
    expected = list(sample_video(video, clips._open("a").times))
    for _ in range(2):
        found = clips.load(clips.files("a")[2:4]).permute(0, 2, 3, 1).numpy()
        assert np.array_equal(found, np.stack(expected[2:4]))


def test_cached_frames_are_not_decoded_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = source(folder)
    expected = first.load([VideoFrame("a", 3), VideoFrame("a", 1), VideoFrame("a", 3)])
    assert torch.equal(expected[0], expected[2])
    monkeypatch.setattr(DecoderProcess, "ask", None)
    again = source(folder)
    assert torch.equal(again.load([VideoFrame("a", 3), VideoFrame("a", 1), VideoFrame("a", 3)]), expected)
    assert len(again.files("a")) == 12
    assert again.load(again.files("a")).shape == (12, 3, 48, 64)  # The others were decoded along with them.
    # Another way of taking frames is another frame.
    with pytest.raises(TypeError):
        source(folder, jpeg_quality=50).load([VideoFrame("a", 3)])


@pytest.mark.parametrize(("short", "gigabytes"), [(1, 1), (64, 0)])
def test_of_long_clips_or_without_room_only_wanted_frames_are_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, short: int, gigabytes: float
) -> None:
    monkeypatch.setattr(decoded_clips, "SHORT", short)
    clips = source(folder, cache_gigabytes=gigabytes)
    frames = clips.files("a")[2:5]
    answers: list[int] = []
    real = DecoderProcess.ask

    def ask(process: DecoderProcess, *request: Any) -> list[Any]:
        found: list[Any] = real(process, *request)
        answers.append(len(found))
        return found

    monkeypatch.setattr(DecoderProcess, "ask", ask)
    clips.load(frames)
    assert answers == [3]


def test_a_clip_that_changes_is_noticed(folder: Path) -> None:
    clips = source(folder)
    frames = clips.files("a")
    make_video(folder / "clips" / "a.mp4", frames=31)
    with pytest.raises(DataError, match=r"clip 'a': .*a\.mp4 changed while it was read"):
        clips.load([frames[0]])
    assert len(source(folder, fps=10).files("a")) == 31


def test_messages_name_clip_and_file(folder: Path) -> None:
    clips = source(folder)
    assert clips.missing(["a", "none", "b/c", "none"]) == ["none"]
    with pytest.raises(DataError, match="no clip 'none' in"):
        clips.files("none")
    (folder / "clips" / "text.mp4").write_text("no video")
    os.mkfifo(folder / "clips" / "pipe.mp4")
    clips = source(folder)  # It lists every folder once.
    with pytest.raises(DataError, match=r"clip 'text': .*text\.mp4"):
        clips.files("text")
    with pytest.raises(DataError, match=r"clip 'pipe': .*pipe\.mp4 is a pipe"):
        clips.files("pipe")
    with pytest.raises(DataError, match=r"clip 'a': .*max_frames"):
        source(folder, max_frames=5).files("a")


@pytest.mark.parametrize(
    ("what", "message"), [(HANGS, "decoding took longer than 3 s; .*seconds_per_clip"), (CRASHES, r"crashed, .*\(SIGABRT\)")]
)
def test_a_decoder_that_hangs_or_crashes_costs_a_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str, message: str
) -> None:
    monkeypatch.syspath_prepend(broken_decord(folder / "broken", "a.", what))
    clips = source(folder, decoder="decord", seconds_per_clip=3)
    frames = clips.files("a")
    with pytest.raises(DataError, match=rf"clip 'a': .*a\.mp4: .*{message}"):
        clips.load(frames)
    assert clips.load(clips.files("b/c")[:1]).shape == (1, 3, 48, 64)


def test_a_dataset_may_be_decoded_online(folder: Path) -> None:
    dataset = DatasetFiles("d", "video", str(folder / "clips"), None, {}, decode={"cache": str(folder / "cache"), "fps": 2})
    pictures = pictures_of(dataset)
    assert pictures.load(pictures.files("a")).shape == (6, 3, 48, 64)


def test_settings_name_the_extraction_that_stores_the_same() -> None:
    plain = DecodingSettings()
    assert plain.name(5) == DecodingSettings(cache="elsewhere", cache_gigabytes=0, max_frames=7).name(5)
    assert len({plain.name(5), plain.name(6), DecodingSettings(exact=True).name(5), DecodingSettings(fps=5).name(5)}) == 4
    assert (plain.bounds(), DecodingSettings(max_seconds=5000, max_frames=1).bounds()) == ({}, {"max_seconds": 5000})
