"""How an invocation ends when something of it cannot."""

from types import SimpleNamespace
from typing import Any

import pytest

from workflows import runner


def test_records_are_sent_even_if_ray_cannot_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def stop() -> None:
        raise OSError("busy")

    monkeypatch.setattr(runner, "_show_addresses", lambda *_: done.append("addresses"))
    tracker = SimpleNamespace(flush=lambda _: None, close=lambda: done.append("closed"), experiment_id=None)
    record = SimpleNamespace(comparison=lambda: None)
    cluster = SimpleNamespace(stop=stop)
    invocation: Any = SimpleNamespace(plan=None, reporter=None, tracker=tracker, record=record, cluster=cluster)
    with pytest.raises(OSError, match="busy"):
        runner._Run._finish(invocation, "FAILED")
    assert done == ["addresses", "closed"]
