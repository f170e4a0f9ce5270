from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cosa.data.frames import FrameFolders, ImageFolder, load_frames
from cosa.data.media_files import PictureFile
from cosa.errors import DataError


def picture(width: int = 24, height: int = 16) -> Image.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def save(path: Path, image: Image.Image, **options: object) -> PictureFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return PictureFile(path)


def test_frame_folders_sort_by_number(tmp_path: Path) -> None:
    for name in ("frame_10000.jpg", "frame_0002.jpg", "frame_9999.jpg", "frame_0001.jpg", "notes.txt", "x_frame_1.jpg"):
        save(tmp_path / "a/b" / name, picture(), format="JPEG")
    names = [file.path.name for file in FrameFolders(tmp_path).files("a/b")]
    assert names == ["frame_0001.jpg", "frame_0002.jpg", "frame_9999.jpg", "frame_10000.jpg"]


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    folders = FrameFolders(tmp_path)
    with pytest.raises(DataError, match="holds no frames"):
        folders.files("empty")
    for name in ("missing", "file"):
        with pytest.raises(DataError, match=f"{name} is missing"):
            folders.files(name)
    with pytest.raises(DataError, match="media identifier"):
        folders.files("../empty")


@pytest.mark.parametrize(("image_id", "file"), [("a", "a.JPEG"), ("b.png", "b.png"), ("s/c", "s/c.jpg"), ("d", "d.webp")])
def test_images_with_and_without_suffix(tmp_path: Path, image_id: str, file: str) -> None:
    save(tmp_path / file, picture())
    assert ImageFolder(tmp_path).files(image_id) == [PictureFile(tmp_path / file)]


def test_missing_images(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("folder", "missing"):
        with pytest.raises(DataError, match=rf"no image '{name}' in "):
            ImageFolder(tmp_path).files(name)
    with pytest.raises(DataError, match="media identifier"):
        ImageFolder(tmp_path).files("/etc/passwd")


def test_frames_are_rgb_in_order(tmp_path: Path) -> None:
    first = save(tmp_path / "1.jpg", picture(), quality=95)
    second = save(tmp_path / "2.jpg", picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT), quality=95)
    frames = load_frames([first, second, second])
    assert frames.dtype == torch.uint8
    assert frames.shape == (3, 3, 16, 24)
    assert frames[0, 0, 8, 2] > 200 > 50 > frames[0, 2, 8, 2]
    assert frames[1, 2, 8, 2] > 200 > 50 > frames[1, 0, 8, 2]
    assert torch.equal(frames[1], frames[2])
    with Image.open(first.path) as image:
        assert np.array_equal(frames[0].permute(1, 2, 0).numpy(), np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16", "CMYK"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((16, 24), 128 << 8, np.uint16))
    else:
        grey = Image.new("RGB", (24, 16), (128, 128, 128))
        image = grey.quantize() if mode == "P" else grey.convert(mode)
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    frames = load_frames([save(path, image)])
    assert frames.shape == (1, 3, 16, 24)
    assert mode == "1" or (frames.float() - 128).abs().max() <= 2


def test_grey_jpeg_and_a_png_named_jpg(tmp_path: Path) -> None:
    assert load_frames([save(tmp_path / "grey.jpg", picture().convert("L"))]).shape == (1, 3, 16, 24)
    assert load_frames([save(tmp_path / "png.jpg", picture(), format="PNG")])[0, 0, 0, 0] == 255


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_exif_orientation_is_applied(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees: to be shown turned clockwise
    frames = load_frames([save(tmp_path / name, picture(), exif=exif)])
    assert frames.shape == (1, 3, 24, 16)
    assert frames[0, 0, 2, 8] > 200  # the left side is on top
    assert frames[0, 2, 21, 8] > 200


def test_damaged_files_are_named(tmp_path: Path) -> None:
    buffer = BytesIO()
    picture(200, 200).save(buffer, "JPEG")
    contents = {"half.jpg": buffer.getvalue()[: len(buffer.getvalue()) // 2], "text.jpg": b"hello", "zero.jpg": b""}
    contents["interrupted.jpg"] = contents["half.jpg"] + bytes(500)
    buffer = BytesIO()
    picture(200, 200).save(buffer, "PNG")
    contents["half.png"] = buffer.getvalue()[: len(buffer.getvalue()) // 2]
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            load_frames([PictureFile(tmp_path / name)])
    with pytest.raises(DataError, match=r"missing\.jpg is missing"):
        load_frames([PictureFile(tmp_path / "missing.jpg")])
    with pytest.raises(ValueError, match="at least one"):
        load_frames([])


def test_frames_of_mixed_sizes_are_refused(tmp_path: Path) -> None:
    files = [save(tmp_path / "1.jpg", picture()), save(tmp_path / "2.jpg", picture(32, 16))]
    with pytest.raises(DataError, match=r"2\.jpg is 32 x 16 pixels but 1\.jpg of the same clip is 24 x 16"):
        load_frames(files)
