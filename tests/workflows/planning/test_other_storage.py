"""A storage that is begun where the working directory happens to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.planning.other_storage import storage_notes
from workflows.planning.plan import make_plan
from workflows.spec.load import load_spec


def test_the_storage_beside_the_spec_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    lay_out(project, monkeypatch)
    assert list(storage_notes(plan())) == [], "it is the first"
    finish(plan())
    (project / "experiments").mkdir()
    spec = (project / "spec.yaml").rename(project / "experiments" / "spec.yaml")
    for name in ("own", "pictures"):
        (elsewhere / name).symlink_to(project / name)
    monkeypatch.chdir(elsewhere)
    made = make_plan(load_spec(spec))
    assert list(storage_notes(made)) == [
        f"results go to a new storage, {elsewhere}/storage; to use those in {project}/storage give --storage {project}/storage"
    ]
    assert list(storage_notes(make_plan(load_spec(spec, [f"storage={elsewhere}/storage"])))) == [], "it is chosen"
    (project / "experiments" / ".git").touch()
    assert list(storage_notes(made)) == [], "what is above the repository belongs to others"
    monkeypatch.chdir(project)
    assert list(storage_notes(make_plan(load_spec(spec)))) == []
