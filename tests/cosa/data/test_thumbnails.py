"""Thumbnails keep proportions, and frames are spread over a clip."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from cosa.data.media_files import PictureFile
from cosa.data.thumbnails import spread, thumbnail
from cosa.errors import DataError


def test_a_picture_is_made_smaller_but_not_larger(tmp_path: Path) -> None:
    for size, expected in (((400, 200), (176, 88)), ((64, 64), (64, 64))):
        Image.new("RGB", size, "red").save(tmp_path / "p.jpg")
        made = Image.open(BytesIO(thumbnail(PictureFile(tmp_path / "p.jpg"), 176)))
        assert (made.format, made.size) == ("JPEG", expected)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"p\.jpg"):
        thumbnail(PictureFile(tmp_path / "p.jpg"), 176)


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (8, [1, 3, 5, 7]), (9, [1, 3, 5, 7])])
def test_frames_are_spread(count: int, expected: list[int]) -> None:
    files = [PictureFile(Path(str(number))) for number in range(count)]
    assert [int(file.path.name) for file in spread(files, 4)] == expected
