"""Which address of the MLflow UI a person is shown."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ports import free_port
from workflows.records import ui_address
from workflows.records.process_mark import ProcessMark
from workflows.records.ui_address import UI_FILE, UiAddress, address_at, forget, remember, running_at

BASE = "http://127.0.0.1:5055"


def test_a_server_that_runs_is_remembered_until_it_ends(tmp_path: Path) -> None:
    assert running_at(tmp_path) is None
    remember(tmp_path, BASE, ProcessMark.own())
    assert running_at(tmp_path) == BASE
    assert UiAddress.of(tmp_path) == UiAddress(BASE, is_open=True)
    forget(tmp_path, "http://127.0.0.1:5056")
    assert running_at(tmp_path) == BASE, "another server has ended"
    forget(tmp_path, BASE)
    assert not (tmp_path / UI_FILE).exists()
    forget(tmp_path, BASE)


def test_a_server_that_was_killed_or_is_elsewhere_is_not_meant(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        remember(tmp_path, BASE, ProcessMark.of(server.pid))
        assert running_at(tmp_path) == BASE
        server.kill()
    assert running_at(tmp_path) is None
    remember(tmp_path, BASE, replace(ProcessMark.own(), place="another-machine"))
    assert running_at(tmp_path) is None
    for text in ("", "something else", "\xff"):
        (tmp_path / UI_FILE).write_text(text, encoding="latin-1")
        assert running_at(tmp_path) is None


def test_without_a_server_it_is_where_the_next_one_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    monkeypatch.setattr(ui_address, "PORTS", range(first, first + 20))
    assert UiAddress.of(tmp_path) == UiAddress(address_at(first), is_open=False)
    with socket.create_server(("127.0.0.1", first)):
        found = UiAddress.of(tmp_path)
        assert not found.is_open
        assert found.base != address_at(first), "that of another storage, or of another program"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_storage_that_nobody_may_write_has_no_note(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    remember(tmp_path, BASE, ProcessMark.own())
    assert running_at(tmp_path) is None
