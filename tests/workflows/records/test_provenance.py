"""Where a result comes from."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflows.records import provenance
from workflows.records.provenance import environment_facts, git_state, source_changes
from workflows.spec.secrets import Secrets

NO_SECRETS = Secrets({})


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=T", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that the program seems to run from."""
    tree = tmp_path / "tree"
    (tree / "workflows" / "records").mkdir(parents=True)
    shutil.copy2(provenance.__file__, tree / "workflows" / "records" / "provenance.py")
    (tree / "spec.yaml").write_text("name: a\n")
    git(tree, "init", "-q")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    monkeypatch.setattr(provenance, "__file__", str(tree / "workflows" / "records" / "provenance.py"))
    return tree


def test_a_clean_tree_has_a_commit_and_no_changes(tree: Path) -> None:
    assert git_state()["dirty"] == "no"
    assert len(git_state()["commit"]) == 40
    assert source_changes(NO_SECRETS) is None


def test_changes_are_a_patch_that_can_be_applied(tree: Path, tmp_path: Path) -> None:
    (tree / "spec.yaml").write_text("name: b\n")
    (tree / "notes.txt").write_text("private\n")
    changes = source_changes(NO_SECRETS)
    assert git_state()["dirty"] == "yes"
    assert changes is not None
    assert "# new and not in git: notes.txt" in changes
    assert "private" not in changes
    patch = tmp_path / "source.patch"
    patch.write_text(changes)
    git(tree, "checkout", "-q", "spec.yaml")
    git(tree, "apply", str(patch))
    assert (tree / "spec.yaml").read_text() == "name: b\n"


def test_changes_are_cut_and_hold_no_secret(tree: Path) -> None:
    (tree / "spec.yaml").write_text("name: a\npassword: hunter2hunter2\nuri: http://me:pw@host\n" + "x: 1\n" * 1000)
    changes = source_changes(NO_SECRETS, limit=500)
    assert changes is not None
    assert len(changes) < 600
    assert changes.splitlines()[-1].startswith("# cut here: ")
    assert "hunter2" not in changes
    assert "me:pw" not in changes


def test_somebody_elses_repository_is_not_taken_for_ours(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tree / ".venv" / "workflows" / "records" / "provenance.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(installed))
    assert git_state() == {}
    assert source_changes(NO_SECRETS) is None


def test_the_surroundings_name_machine_packages_seed_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cosa", "run-experiment", "a.yaml", "--set", "x=very-secret-value"])
    facts = environment_facts(50, Secrets({"MY_TOKEN": "very-secret-value"}))
    assert facts["seed"] == 50
    assert facts["packages"]["torch"].startswith("2.")
    assert facts["machine"]["host"]
    assert facts["machine"]["cpu"]
    assert facts["machine"]["cores"] >= 1
    assert isinstance(facts["machine"]["gpus"], list)
    assert "very-secret-value" not in str(facts)
