"""Files that stay open, a bounded number of them."""

import os
import pickle
from pathlib import Path

import psutil
import pytest

from cosa.data import open_files
from cosa.data.frame_shards import OpenFrames
from cosa.errors import DataError


def test_the_least_recently_read_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "OPEN_SHARDS", 3)
    paths = [tmp_path / str(number) for number in range(8)]
    for path in paths:
        path.write_text(f"content of {path.name}")
    process = psutil.Process()
    files, before = OpenFrames(list(map(str, paths))), process.num_fds()
    for number in (*range(8), 0, 7, 3):
        assert files.read(number, 11, 100) == str(number).encode()
        assert process.num_fds() - before <= 3
    paths[3].unlink()
    assert files.read(3, 0, 7) == b"content", "it is open"
    sent = pickle.loads(pickle.dumps(files))
    with pytest.raises(DataError, match="is missing or not a file; expected a shard of frames"):
        sent.read(3, 0, 7)
    del files, sent
    assert process.num_fds() == before


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    os.mkfifo(tmp_path / "pipe")
    files = OpenFrames([str(tmp_path / "a"), str(tmp_path / "pipe")])
    assert files.read(0, 4, 100) == b"ent"
    with pytest.raises(DataError, match=r"a cannot be read at byte -1"):
        files.read(0, -1, 1)
    with pytest.raises(DataError, match="a is damaged; make the frames again"):
        files.read(0, 0, 2**40)
    with pytest.raises(DataError, match="is a pipe"):
        files.read(1, 0, 1)
