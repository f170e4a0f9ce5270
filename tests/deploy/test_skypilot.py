"""deploy/skypilot.yaml, run with stand-ins for Ray and this program."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflows.spec.load import load_spec

ROOT = Path(__file__).parents[2]
# Fields of a task, as SkyPilot's reference of its YAML lists them.
KNOWN = {"name", "num_nodes", "resources", "workdir", "volumes", "envs", "secrets", "setup", "run"}


@pytest.fixture
def task() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy" / "skypilot.yaml").read_text()))


def test_it_has_the_fields_of_a_task(task: dict[str, Any]) -> None:
    assert task.keys() <= KNOWN
    assert isinstance(task["num_nodes"], int)
    assert list(task["volumes"]) == ["/shared"]
    assert all(value is None for value in task["secrets"].values())  # A secret in a file would be committed.
    for script in ("setup", "run"):
        subprocess.run(["bash", "-n"], input=task[script], text=True, check=True)


def test_what_it_installs_is_here(task: dict[str, Any]) -> None:
    assert "-c constraints.txt -e ." in task["setup"]
    assert (ROOT / "constraints.txt").is_file()


def test_the_experiment_runs_on_the_cluster_of_all_nodes(task: dict[str, Any], tmp_path: Path) -> None:
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "ray").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (binaries / "ray").chmod(0o755)
    environment = {**os.environ, **task["envs"], "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NUM_NODES": "2"}
    done = subprocess.run(
        ["bash", "-eu"], input=task["run"], text=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, check=True
    )
    words = done.stdout.splitlines()
    assert words[:5] == ["symmetric-run", "--address", "10.0.0.1:6379", "--min-nodes", "2"]
    program, command, spec, *options = words[words.index("--") + 1 :]
    assert (program, command) == ("cosa", "run-experiment")
    assert options[0] == "--storage"
    experiment = load_spec(ROOT / spec, [f"storage={options[1]}", options[3]], environment)
    assert experiment.section.storage.startswith("/shared/")
    assert experiment.section.cluster.address == "auto"
