from pathlib import Path

import pytest

from cosa.data.clip_errors import NoMediaError
from cosa.data.video_index import VideoIndex
from cosa.errors import DataError


def test_videos_are_found_by_identifier(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.mp4", "a.avi", "b.MKV", "c.d.webm", "sub/e.gif", "f.txt"):
        (tmp_path / name).touch()
    index = VideoIndex(tmp_path)
    found = {"a.mp4": "a.mp4", "a.avi": "a.avi", "b": "b.MKV", "c.d": "c.d.webm", "sub/e": "sub/e.gif"}
    for video_id, name in found.items():
        assert index.find(video_id) == tmp_path / name
    for video_id in ("f", "f.txt", "c", "sub", "A"):
        with pytest.raises(NoMediaError, match=rf"^no clip '{video_id}' in "):
            index.find(video_id)
    with pytest.raises(DataError, match=r"^'a' has 2 files in .*: a\.avi, a\.mp4; remove all but one, or write the suffix"):
        index.find("a")
    for video_id, message in (("nowhere/a", "missing or not a folder"), ("../a", "media identifier")):
        with pytest.raises(DataError, match=message):
            index.find(video_id)
