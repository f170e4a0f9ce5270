"""How an invocation ends when something of it cannot."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bad_inputs.cases import SPEC
from workflows import runner
from workflows.spec.load import load_spec


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


@pytest.mark.parametrize(("experiment_id", "page"), [(None, ""), ("7", "/7")])
def test_addresses_have_lines_of_their_own(
    experiment_id: str | None, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    experiment = load_spec(Path("spec.yaml"))
    printed: list[str] = []
    plan: Any = SimpleNamespace(experiment=experiment, storage=SimpleNamespace(folder=Path("storage/bad")), steps=())
    reporter: Any = SimpleNamespace(print=printed.append)
    runner._show_addresses(plan, reporter, None, experiment_id)
    assert printed[0] == "\nResults:   storage/bad"
    assert printed[1].startswith(f"MLflow:    http://127.0.0.1:5000/#/experiments{page}")
    assert printed[2:] == ["           (first: cosa ui)"]
