import shutil
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.results.test_storage import flip, made
from workflows.commands.verify import verify
from workflows.results.storage import Storage


def test_every_result_is_read_and_the_damaged_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = Storage(tmp_path, "demo")
    with pytest.raises(UserError, match="holds no results; name another folder with --storage"):
        verify(tmp_path)
    made(storage, "tune", "abc")
    harmed = made(storage, "tune", "def")
    storage.partial("tune", "ghi").mkdir()
    (storage.folder / "tune" / ".abc.replaced").mkdir()
    shutil.copy(harmed / "manifest.json", storage.folder / "tune" / ".abc.replaced")
    verify(tmp_path)
    assert capsys.readouterr().out.splitlines() == ["demo/tune/abc  intact", "demo/tune/def  intact"]
    flip(harmed)
    with pytest.raises(UserError, match="1 of 2 results are damaged"):
        verify(tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "demo/tune/abc  intact",
        "demo/tune/def  the content of checkpoint/model.safetensors is not what was written",
    ]
    (storage.result("tune", "abc") / "manifest.json").unlink()
    with pytest.raises(UserError, match="2 of 2 results are damaged"):
        verify(tmp_path)
    assert "demo/tune/abc  manifest.json is gone" in capsys.readouterr().out
