"""Checkpoints get their place only when they were read back."""

import errno
import os
import stat
from pathlib import Path

import pytest
from pyarrow.fs import SubTreeFileSystem

from tests.cosa.training.test_loop import make_trainer
from workflows.execution import run_folder
from workflows.execution.checkpoints import checkpoint_name, damage_of, require_intact
from workflows.execution.run_folder import RunFolder
from workflows.results import atomic

NAME = checkpoint_name(4)


@pytest.fixture(params=["mounted", "remote"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    """An empty run folder on a mounted file system, and on one to which files must be uploaded."""
    folder = tmp_path / "run"
    folder.mkdir()
    local = RunFolder.at(folder)
    return local if request.param == "mounted" else RunFolder(SubTreeFileSystem(str(tmp_path), local.filesystem), "run")


def save(folder: Path) -> None:
    from cosa.training.state import save_state

    save_state(make_trainer(steps=1), folder)


def test_an_intact_one_is_put_in_place(run: RunFolder) -> None:
    with run.writing() as folder:
        save(folder)
        run.put(folder, NAME, require_intact)
    assert run.names() == [NAME]
    assert damage_of(run, NAME) is None


def test_one_that_reads_back_otherwise_is_an_error_that_names_the_file(run: RunFolder) -> None:
    with (
        pytest.raises(
            OSError, match=rf"read back after writing: checkpoint {run.address(NAME)} is damaged: training_state\.pt"
        ),
        run.writing() as folder,
    ):
        save(folder)
        os.truncate(folder / "training_state.pt", 100)
        run.put(folder, NAME, require_intact)
    if run.is_local:
        assert run.names() == []  # neither the name nor what was being written


def test_what_a_killed_run_was_writing_and_an_earlier_try_are_replaced(tmp_path: Path) -> None:
    run = RunFolder.at(tmp_path)
    for name in ("writing", NAME):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    with run.writing() as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("intact")
        run.put(folder, NAME, lambda found, address: None)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert [path.name for path in (tmp_path / NAME).iterdir()] == ["file"]


def test_an_earlier_one_stays_until_the_new_one_is_read_back(tmp_path: Path) -> None:
    run = RunFolder.at(tmp_path)
    (tmp_path / NAME).mkdir()

    def refuse(folder: Path, address: str) -> None:
        raise OSError(folder)

    with pytest.raises(OSError, match="writing"), run.writing() as folder:
        run.put(folder, NAME, refuse)
    assert run.names() == [NAME]


def test_files_and_their_folder_are_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    for module in (run_folder, atomic):
        monkeypatch.setattr(module, "flush", lambda path, **_: flushed.append(path))
    run = RunFolder.at(tmp_path)
    with run.writing() as folder:
        (folder / "file").touch()
        run.put(folder, NAME, lambda found, address: flushed.append(Path("read back")))
    assert flushed == [folder / "file", folder, Path("read back"), tmp_path]


def test_one_that_is_gone_is_reported(run: RunFolder) -> None:
    damage = damage_of(run, NAME)
    assert damage is not None
    assert damage.startswith(f"checkpoint {run.address(NAME)} is ")


def test_a_file_system_that_flushes_no_folders_serves_and_one_that_flushes_no_files_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, flush = RunFolder.at(tmp_path), os.fsync

    def put() -> None:
        with run.writing() as folder:
            (folder / "file").write_text("intact")
            run.put(folder, NAME, lambda *_: None)

    def no_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no folders")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", no_folders)
    put()
    assert run.names() == [NAME]

    def nothing(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "no files")

    monkeypatch.setattr(os, "fsync", nothing)
    with pytest.raises(OSError, match="no files"):
        put()
