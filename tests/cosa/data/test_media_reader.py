"""Videos, pictures, folders and arrays as a model sees them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cosa.data.clips import ClipReader
from cosa.data.extraction import extract_frames
from cosa.data.extraction_settings import ExtractionSettings
from cosa.data.frames import FrameFolders
from cosa.data.media_reader import MediaReader, PartOfVideo, _span
from cosa.data.picture_files import is_picture
from cosa.data.picture_sources import PictureFiles
from cosa.data.transforms import CropKind, FrameTransform
from cosa.data.videos import open_video
from cosa.errors import DataError
from tests.cosa.data.drawn_videos import make_video, number_of


def reader(frames: int = 4, *, kind: CropKind = "none", side: int = 48, **extraction: object) -> MediaReader:
    return MediaReader(
        frames, FrameTransform(kind, side, training=False), ExtractionSettings.model_validate({"fps": 10, **extraction})
    )


def numbers(frames: torch.Tensor) -> list[int]:
    return [number_of(frame.permute(1, 2, 0).numpy()) for frame in frames]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "v.mp4", frames=40, noise=True)


@pytest.mark.parametrize("kind", ["none", "crop_flip"])
@pytest.mark.parametrize("short_side", [None, 40])
@pytest.mark.parametrize("frames", [1, 3, 8, 50])
def test_a_video_gives_the_bytes_that_a_stage_would_read(
    video: Path, tmp_path: Path, kind: CropKind, short_side: int | None, frames: int
) -> None:
    extract_frames(video, tmp_path / "frames" / "v", ExtractionSettings(fps=4, short_side=short_side, jpeg_quality=80))
    stored = ClipReader(
        PictureFiles(FrameFolders(tmp_path / "frames")), frames=frames, resolution=32, transforms=kind, training=False
    )("v", None)
    own = reader(frames, kind=kind, side=32, fps=4, short_side=short_side, jpeg_quality=80)
    assert torch.equal(own.read(video), stored)
    assert torch.equal(own.read(tmp_path / "frames" / "v"), stored)


def test_parts_of_a_video_are_read_in_one_pass_and_alone(video: Path) -> None:
    parts = [(0.0, 1.0), (1.0, 3.5), None]
    found = reader(2).read_parts(open_video(video), parts)
    assert [numbers(frames) for frames in found] == [[2, 7], [16, 28], [9, 29]]
    assert torch.equal(reader(2).read(PartOfVideo(video, 1.0, 3.5)), found[1])
    assert torch.equal(reader(2).read(PartOfVideo(video)), found[2])
    assert numbers(reader(2).read(PartOfVideo(video, start=3.9))) == [39, 39]


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 60), st.floats(0, 60), st.floats(0.1, 30), st.integers(1, 500))
def test_spans_are_never_empty_nor_outside(start: float, length: float, fps: float, count: int) -> None:
    first, end = _span((start, start + length), (np.arange(count) + 0.5) / fps)
    assert 0 <= first < end <= count


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.floats(0.5, 30), st.integers(2, 400))
def test_neighbouring_parts_share_no_frame_and_leave_none_out(parts: int, fps: float, count: int) -> None:
    edges = np.linspace(0, count / fps, min(parts, count) + 1).tolist()
    spans = [_span(part, (np.arange(count) + 0.5) / fps) for part in itertools.pairwise(edges)]
    assert [place for first, end in spans for place in range(first, end)] == list(range(count))


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    picture = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
    for name in ("a.png", "b.webp", "c.bmp", "named.txt"):
        options = {"lossless": True} if name == "b.webp" else {}
        kind = "PNG" if name == "named.txt" else None
        Image.fromarray(picture).save(tmp_path / name, kind, **options)
        assert is_picture(tmp_path / name)
        assert torch.equal(reader().read(tmp_path / name), torch.from_numpy(picture).permute(2, 0, 1)[None])
    assert torch.equal(reader().read(picture), reader().read(tmp_path / "a.png"))
    assert torch.equal(reader().read(torch.from_numpy(picture)), reader().read(picture[None]))


def test_a_gif_is_a_video(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 48), (40 * n, 0, 0)) for n in range(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=200)
    assert reader(5, fps=5).read(tmp_path / "a.gif")[:, 0, 24, 24].tolist() == pytest.approx([0, 40, 80, 120, 160], abs=3)


def test_arrays_are_sampled_like_clips() -> None:
    frames = np.zeros((9, 48, 48, 3), dtype=np.uint8)
    frames[:] = np.arange(9, dtype=np.uint8)[:, None, None, None]
    assert reader(3).read(frames)[:, 0, 0, 0].tolist() == [1, 4, 7]
    assert reader(12).read(frames[:2])[:, 0, 0, 0].tolist() == [0, *[1] * 11]


def test_mirrored_views_are_read(video: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    assert torch.equal(reader(3).read(frames[..., ::-1]), reader(3).read(frames[..., ::-1].copy()))
    assert torch.equal(reader(3).read(frames[::-1]), reader(3).read(frames[::-1].copy()))


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2), (2, 2), (4.5, 6), (float("nan"), 1), (0, float("inf"))])
def test_what_is_no_part_of_a_video_is_refused(video: Path, start: float, end: float) -> None:
    with pytest.raises(DataError, match=r"is no part of its 4\.00 s; expected a start before the end"):
        reader().read(PartOfVideo(video, start, end))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((2, 3, 8, 8), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.array([[["a"] * 3]]),
        np.array([[[None] * 3]]),
    ],
)
def test_arrays_of_other_forms_are_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"expected \(frames, height, width, 3\) or \(height, width, 3\), uint8, RGB"):
        reader().read(array)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jpg", b"", "is empty (0 bytes); fetch it again, or convert it to JPEG or PNG"),
        ("a.PNG", b"<svg/>", "is not a picture, or damaged; fetch it again, or convert it to JPEG or PNG"),
        ("a.mp4", b"", "is empty (0 bytes), expected a video; fetch it again"),
    ],
)
def test_what_is_called_a_picture_is_not_called_a_video(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        reader().read(tmp_path / name)
    assert str(raised.value) == f"{tmp_path / name} {says}"


def test_an_animation_is_a_video_as_gif_and_its_first_picture_otherwise(tmp_path: Path) -> None:
    first, *others = (Image.new("RGB", (48, 48), (shade, 0, 0)) for shade in (0, 80, 160, 240))
    for name in ("a.gif", "a.webp", "a.png", "named.png"):
        kind = "GIF" if name == "named.png" else None
        first.save(tmp_path / name, kind, save_all=True, append_images=others, duration=200)
    assert [len(reader().read(tmp_path / name)) for name in ("a.gif", "a.webp", "a.png", "named.png")] == [4, 1, 1, 4]
    assert reader().read(tmp_path / "a.webp").max() < 10


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    for path, says in (("gone.mp4", "missing"), ("text.mp4", "is not a video"), ("empty", "holds no pictures")):
        with pytest.raises(DataError, match=f"{path}.*{says}"):
            reader().read(tmp_path / path)


def test_parts_whose_times_are_no_numbers_are_refused(video: Path) -> None:
    for part, says in (
        (PartOfVideo(video, "1", "2"), r"v\.mp4: '1' is no time; expected a number of seconds"),  # type: ignore[arg-type]
        (PartOfVideo(video, 1, True), r"v\.mp4: True is no time"),
        (PartOfVideo(None), "a part of None, a NoneType; expected the path of a video"),  # type: ignore[arg-type]
    ):
        with pytest.raises(DataError, match=says):
            reader().read(part)
    assert reader().read(PartOfVideo(video, np.int64(1), np.float32(2))).shape == (4, 3, 48, 48)  # type: ignore[arg-type]


def test_a_read_only_array_is_read_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    array = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    writable = reader().read(array)
    array.setflags(write=False)
    assert torch.equal(reader().read(array), writable)
    assert not recwarn.list
