"""Machines of a cluster that see the shared folders, and one that does not. No Ray is started."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import lay_out, load
from workflows.cluster import nodes, shipping
from workflows.cluster.nodes import Node, check_nodes, missing_paths, shared_paths
from workflows.records import provenance
from workflows.spec.secrets import Secrets

HERE, AWAY = Node("a" * 56, "10.0.0.1", 8, 0), Node("b" * 56, "10.0.0.2", 8, 0)


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Paths that the second node does not see."""
    unseen: set[str] = set()

    def answers(paths: list[str]) -> Iterator[tuple[Node, list[str]]]:
        yield HERE, missing_paths(paths)
        yield AWAY, [path for path in paths if any(Path(path).is_relative_to(folder) for folder in unseen)]

    monkeypatch.setattr(nodes, "_answers", answers)
    return unseen


def test_a_node_that_does_not_see_the_storage_or_the_data_is_named(tmp_path: Path, hidden: set[str]) -> None:
    storage, data = tmp_path / "storage", tmp_path / "data"
    storage.mkdir()
    data.mkdir()
    check_nodes(storage, [str(data)])
    for folder in (storage, data):
        hidden.clear()
        hidden.add(str(folder))
        with pytest.raises(UserError, match=rf"node 10.0.0.2 \(bbbbbbbbbbbb\) does not see {folder};"):
            check_nodes(storage, [str(data)])
    assert list(storage.iterdir()) == []


def test_what_all_nodes_must_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    (tmp_path / "weights").mkdir()
    found = shared_paths(load("stages.pretrain.init_from=./weights", "stages.test.checkpoint=elsewhere/not-here"))
    names = ("own/clips", "own/train.json", "own/val.json", "own/spare.json", "pictures", "weights")
    assert set(found) == {str(tmp_path / name) for name in names}  # nothing that a stage makes, nothing that is missing


def test_the_program_is_sent_without_what_lies_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "source_changes", lambda secrets: "# changes of the sender\n")
    with shipping.packed_program() as folder:
        notes = {provenance.SHIPPED_STATE, provenance.SHIPPED_CHANGES}
        assert {path.name for path in folder.iterdir()} == {"cosa", "workflows", "cli.py", "cosa_console.py", *notes}
        assert not list(folder.rglob("__pycache__"))
        assert not list(folder.rglob("*.yaml"))
        assert (folder / "cosa" / "assets").is_dir()
        monkeypatch.setattr(provenance, "__file__", str(folder / "workflows" / "records" / "provenance.py"))
        (folder / provenance.SHIPPED_STATE).write_text(json.dumps({"commit": "of the sender"}))
        assert provenance.git_state() == {"commit": "of the sender"}
        assert provenance.source_changes(Secrets({})) == "# changes of the sender\n"
    assert not folder.exists()


def test_a_job_that_brings_the_program_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shipping.JOB_VARIABLE, raising=False)
    assert not shipping.is_job()
    assert not shipping.job_brings_program()
    monkeypatch.setenv(shipping.JOB_VARIABLE, '{"runtime_env": {}, "metadata": {}}')
    assert shipping.is_job()
    assert not shipping.job_brings_program()
    monkeypatch.setenv(shipping.JOB_VARIABLE, '{"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}')
    assert shipping.job_brings_program()
