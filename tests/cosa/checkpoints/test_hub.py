"""A hub that does not answer is left alone within seconds."""

from __future__ import annotations

import socket
import threading
import time

import huggingface_hub.constants as of_hub
import pytest

from cosa.checkpoints import hub
from cosa.checkpoints.hub import quick_hub
from tests.ports import free_port


def test_a_hub_that_nobody_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_hub, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with quick_hub() as how:
        assert of_hub.HF_HUB_OFFLINE
    assert how.startswith(f"{of_hub.ENDPOINT} does not answer, and its cache ")
    assert not of_hub.HF_HUB_OFFLINE


def test_a_hub_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(of_hub, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with quick_hub() as how:
            assert "does not answer" in how


def test_a_hub_that_answers_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(of_hub, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            time.sleep(0.1)
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with quick_hub() as how:
            assert not of_hub.HF_HUB_OFFLINE
        thread.join()
    assert how == "the hub answers"


def test_a_person_who_wants_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_hub, "HF_HUB_OFFLINE", True)
    with quick_hub() as how:
        assert how.startswith("HF_HUB_OFFLINE keeps")
    assert of_hub.HF_HUB_OFFLINE
