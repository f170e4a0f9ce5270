from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cosa.data import picture_sources
from cosa.data.clips import ClipReader
from cosa.data.frames import FrameFolders, ImageFolder, load_frames
from cosa.data.media_files import PictureFile
from cosa.data.picture_sources import PictureFiles
from cosa.data.sampling import sample_frame_indices
from cosa.data.transforms import CropKind, FrameTransform
from cosa.errors import DataError

FRAMES = 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for clip in ("a", "b"):
        (tmp_path / clip).mkdir()
        for frame in range(1, FRAMES + 1):
            picture = rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / clip / f"frame_{frame:04d}.jpg")
    Image.fromarray(rng.integers(0, 256, (30, 20, 3), dtype=np.uint8)).save(tmp_path / "image.jpg")
    return tmp_path


def reader(
    folder: Path, *, training: bool, transforms: CropKind = "none", media: str = "video", megabytes: int = 256
) -> ClipReader:
    source = FrameFolders(folder) if media == "video" else ImageFolder(folder)
    return ClipReader(
        PictureFiles(source), frames=3, resolution=16, transforms=transforms, training=training, cache_megabytes=megabytes
    )


@pytest.mark.parametrize("megabytes", [0, 256])
@pytest.mark.parametrize("transforms", ["none", "crop_flip"])
def test_evaluation_takes_the_middle_frames(folder: Path, transforms: CropKind, megabytes: int) -> None:
    read = reader(folder, training=False, transforms=transforms, megabytes=megabytes)
    files = FrameFolders(folder).files("a")
    chosen = [files[i] for i in sample_frame_indices(FRAMES, 3)]
    expected = FrameTransform(transforms, 16, training=False)(load_frames(chosen))
    for _ in range(2):
        assert torch.equal(read("a", None), expected)
    assert expected.dtype == torch.uint8
    assert expected.shape == (3, 3, 16, 16)


@pytest.mark.parametrize("megabytes", [0, 256])
@pytest.mark.parametrize("transforms", ["none", "crop_flip"])
def test_training_repeats_with_its_generator_alone(folder: Path, transforms: CropKind, megabytes: int) -> None:
    read = reader(folder, training=True, transforms=transforms, megabytes=megabytes)
    drawn = [read("a", np.random.default_rng(seed)) for seed in range(8)]
    fresh = reader(folder, training=True, transforms=transforms, megabytes=0)
    for seed in reversed(range(8)):
        assert torch.equal(fresh("a", np.random.default_rng(seed)), drawn[seed])
    assert len({tuple(clip.flatten().tolist()) for clip in drawn}) > 2


def test_a_picture_is_decoded_once_while_there_is_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[PictureFile] = []

    def counted(files: list[PictureFile], max_pixels: int) -> torch.Tensor:
        decoded.extend(files)
        return load_frames(files, max_pixels)

    monkeypatch.setattr(picture_sources, "load_frames", counted)
    read = reader(folder, training=True)
    for seed in range(40):
        read("a", np.random.default_rng(seed))
    assert len(decoded) == len(set(decoded)) == FRAMES
    crowded = reader(folder, training=False, megabytes=0)
    crowded("b", None)
    crowded("b", None)
    assert len(decoded) == FRAMES + 6


def test_what_a_caller_does_to_a_clip_does_not_reach_the_cache(folder: Path) -> None:
    read = reader(folder, training=False)
    first = read("a", None)
    expected = first.clone()
    first.zero_()
    assert torch.equal(read("a", None), expected)


def test_an_image_is_a_clip_of_one_repeated_frame(folder: Path) -> None:
    clip = reader(folder, training=False, media="image")("image", None)
    assert clip.shape == (3, 3, 16, 16)
    assert torch.equal(clip[0], clip[2])
    assert ImageFolder(folder).files("image") == [PictureFile(folder / "image.jpg")]


def test_missing_and_damaged_clips_are_errors(folder: Path) -> None:
    read = reader(folder, training=False)
    with pytest.raises(DataError, match="is missing: clip 'gone'"):
        read("gone", None)
    (folder / "b" / "frame_0004.jpg").write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(DataError, match=r"frame_0004\.jpg is not a readable picture"):
            read("b", None)
    read("a", None)
