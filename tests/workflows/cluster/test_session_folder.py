"""The temporary folders of Rays that are started here. No Ray is started."""

import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosa.errors import UserError
from workflows.cluster.session_folder import LONGEST, SessionFolder


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        monkeypatch.setenv("RAY_TMPDIR", str(folder))
        yield folder


def test_nobody_else_can_enter_it(base: Path) -> None:
    folder = SessionFolder()
    assert folder.path.parent == base
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.remove()
    assert list(base.iterdir()) == []


def test_sockets_have_room_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path has at most 107 bytes."""
    long = tmp_path / "a-temporary-folder-with-a-long-name"
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    folder = SessionFolder()
    folder.remove()
    assert len(bytes(folder.path)) <= LONGEST
    assert folder.path.parent == Path("/tmp")


def test_a_run_that_is_killed_leaves_its_folder_to_the_next(base: Path) -> None:
    code = "from workflows.cluster.session_folder import SessionFolder; f = SessionFolder(); print(f.path, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        first = SessionFolder()
        assert theirs.is_dir()  # It is in use.
        other.kill()
        other.wait()
        second = SessionFolder()
    assert not theirs.exists()
    assert first.path.is_dir()
    for folder in (first, second):
        folder.remove()


def test_what_only_looks_like_one_stays(base: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (base / "cosa-ray-link").symlink_to(tmp_path / "precious")
    (base / "cosa-ray-file").write_text("")
    (base / "cosa-ray-just-made").mkdir()
    SessionFolder().remove()
    assert (tmp_path / "precious").is_dir()
    assert (base / "cosa-ray-file").exists()
    assert (base / "cosa-ray-just-made").is_dir()


def test_a_folder_that_cannot_be_made_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/proc/no")
    with pytest.raises(UserError, match=r"/proc/no: Ray needs a temporary folder there, .*another with TMPDIR"):
        SessionFolder()
