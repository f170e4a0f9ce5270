"""Folders of frames: which pictures they have, and in what order."""

from pathlib import Path

import pytest

from cosa.data.picture_files import frames_in, middle_picture
from cosa.errors import DataError


def test_frames_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("frame_10.jpg", "frame_9.jpg", "frame_2.PNG", "notes.txt", ".hidden.jpg", "._frame_9.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "frame_1.jpg").mkdir()
    assert [file.path.name for file in frames_in(tmp_path)] == ["frame_2.PNG", "frame_9.jpg", "frame_10.jpg"]
    assert middle_picture(tmp_path) == tmp_path / "frame_9.jpg"
    assert middle_picture(tmp_path / "frame_9.jpg") == tmp_path / "frame_9.jpg"


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / ".hidden.jpg").touch()
    for read in (frames_in, middle_picture):
        with pytest.raises(DataError, match="holds no pictures; expected frames such as"):
            read(tmp_path)
