"""Where a person finds results, at the end of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bad_inputs.cases import SPEC
from workflows.records.addresses import address_lines
from workflows.spec.load import load_spec


@pytest.mark.parametrize(("experiment_id", "page"), [(None, ""), ("7", "/7")])
def test_addresses_have_lines_of_their_own(
    experiment_id: str | None, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    experiment = load_spec(Path("spec.yaml"))
    plan: Any = SimpleNamespace(experiment=experiment, storage=SimpleNamespace(folder=Path("storage/bad")), steps=())
    printed = list(address_lines(plan, None, experiment_id))
    assert printed[0] == "\nResults:   storage/bad"
    assert printed[1].startswith(f"MLflow:    http://127.0.0.1:5000/#/experiments{page}")
    assert printed[2:] == ["           (first: cosa ui)"]
