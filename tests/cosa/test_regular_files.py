import os
import socket
from pathlib import Path

import pytest

from cosa.regular_files import NotRegularError, open_regular, read_regular


def test_files_are_read_also_through_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file") == read_regular(tmp_path / "link") == b"content"


def test_nothing_that_could_wait_for_ever_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # The path of a socket must be short.
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path, what in (("pipe", r"a pipe \(FIFO\)"), ("socket", "a socket"), (".", "a folder"), ("/dev/zero", "a device")):
            with pytest.raises(NotRegularError, match=f"it is {what}, not a file"):
                open_regular(Path(path))


def test_a_file_that_becomes_a_pipe_meanwhile_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    regular = Path(__file__).stat()
    monkeypatch.setattr(Path, "stat", lambda self: regular)
    with pytest.raises(NotRegularError, match=r"a pipe \(FIFO\)"):
        open_regular(tmp_path / "pipe")


def test_what_is_missing_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none")
