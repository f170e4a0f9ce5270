"""Files that are replaced: in full or not at all, and nothing of killed writers stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cosa.replaced_file import replacing

WRITER = """
import sys, time
from pathlib import Path
from cosa.replaced_file import replacing
with replacing(Path(sys.argv[1])) as beside:
    beside.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


def write(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    file = tmp_path / "[a] file"
    write(file, "old")
    with replacing(file) as beside:
        beside.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert names(tmp_path) == [file.name]


def test_a_failed_writer_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write(file, "old")
    with pytest.raises(KeyboardInterrupt), replacing(file) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    others = [".file.1234", ".file.0123abcd.part.txt", ".other.0123abcd.part", ".file.0123ABCD.part"]
    for name in others:
        (tmp_path / name).write_text("of somebody else")
    os.mkfifo(tmp_path / ".file.00000000.part")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    (left,) = (path for path in tmp_path.iterdir() if path.is_file() and path.read_text() == "half")
    write(file, "mine")
    assert left.exists(), "its writer lives"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    write(file, "mine again")
    assert names(tmp_path) == sorted([".file.00000000.part", "file", *others])
    assert file.read_text() == "mine again"
