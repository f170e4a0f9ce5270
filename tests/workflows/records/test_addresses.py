"""Where a person finds results, at the end of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bad_inputs.cases import SPEC
from workflows.records import ui_address
from workflows.records.addresses import address_lines
from workflows.records.process_mark import ProcessMark
from workflows.records.ui_address import remember
from workflows.spec.load import load_spec


@pytest.mark.parametrize(("experiment_id", "page"), [(None, ""), ("7", "/7")])
def test_addresses_have_lines_of_their_own(
    experiment_id: str | None, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ui_address, "next_port", lambda: 5003)
    Path("spec.yaml").write_text(SPEC)
    experiment = load_spec(Path("spec.yaml"))
    plan: Any = SimpleNamespace(experiment=experiment, storage=SimpleNamespace(folder=Path("storage/bad")), steps=())
    printed = list(address_lines(plan, experiment_id, "view" if experiment_id else None))
    assert printed[0] == "\nResults:   storage/bad"
    assert printed[1].startswith(f"MLflow:    http://127.0.0.1:5003/#/experiments{page}")
    if experiment_id:
        assert printed.pop(2).startswith("Compare:   http://127.0.0.1:5003/#/experiments/7/runs?viewStateShareKey=view&")
    assert printed[2:] == ["           (first: cosa ui)"]
    Path("storage").mkdir()
    remember(Path("storage"), "http://127.0.0.1:5055", ProcessMark.own())
    printed = list(address_lines(plan, experiment_id, None))
    assert printed[1].startswith(f"MLflow:    http://127.0.0.1:5055/#/experiments{page}")
    assert len(printed) == 2
