"""Who can read Ray's login token. No Ray is started."""

import os
import stat
from pathlib import Path

import pytest

from cosa.errors import UserError
from workflows.cluster.login_token import protect_token, token_command

NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the token of a person is whose home is a temporary folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".ray" / "auth_token"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_token_is_its_owners_alone(token: Path, umask: int) -> None:
    notes: list[str] = []
    before = os.umask(umask)
    try:
        protect_token(notes.append, create=True)
    finally:
        os.umask(before)
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    assert len(token.read_text()) == 64
    assert not notes
    written = token.read_text()
    protect_token(notes.append, create=True)
    assert token.read_text() == written


@pytest.mark.parametrize(("file", "folder"), [(0o644, 0o755), (0o604, 0o777), (0o640, 0o700), (0o600, 0o711)])
def test_a_token_that_others_could_read_is_tightened(token: Path, file: int, folder: int) -> None:
    token.parent.mkdir()
    token.write_text("abc")
    token.chmod(file)
    token.parent.chmod(folder)
    notes: list[str] = []
    protect_token(notes.append, create=False)
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    assert token.read_text() == "abc"
    assert len(notes) == (file != 0o600)
    assert all(str(token) in note and "remove the file" in note for note in notes)


def test_a_cluster_that_is_joined_gets_no_new_token(token: Path) -> None:
    protect_token(print, create=False)
    assert not token.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_token_of_somebody_else_is_refused(token: Path, which: str) -> None:
    token.parent.mkdir(mode=0o700)
    token.write_text("abc")
    os.chown(token if which == "file" else token.parent, NOBODY, NOBODY)
    with pytest.raises(UserError, match=r"belongs to user 65534, who could run code as you; .*RAY_AUTH_TOKEN_PATH"):
        protect_token(print, create=True)


def test_a_token_at_another_place(token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file is tightened: its folder may hold other things."""
    tmp_path.chmod(0o755)
    chosen = tmp_path / "chosen"
    chosen.write_text("abc")
    chosen.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(chosen))
    protect_token(print, create=True)
    assert (mode(chosen), mode(tmp_path)) == (0o600, 0o755)
    assert not token.exists()


def test_a_token_in_a_variable_is_no_file(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    protect_token(print, create=True)
    assert not token.parent.exists()


def test_a_home_that_is_no_folder_is_reported(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token.parent.write_text("in the way")
    with pytest.raises(UserError, match=r"login token cannot be kept from other users \(.*\); name a file of your own"):
        protect_token(print, create=True)


def test_how_to_print_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "my env" / "python"))
    monkeypatch.chdir(tmp_path)
    assert token_command() == "`'my env/ray' get-auth-token` prints it"
