"""All published experiments run from files in their authors' layout to figures, each at the size of a smoke test."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosa.datasets.authors.author_converter import COVERAGE_FILE
from tests.end_to_end.commands import ROOT, none_left, run
from workflows.planning.plan import make_plan
from workflows.results.manifest import read_manifest
from workflows.spec.load import load_spec

KINDS = {"pretrain": 3, "captioning": 8, "qa": 6, "retrieval": 7}
SPECS = [spec.relative_to(ROOT) for kind in KINDS for spec in sorted((ROOT / "experiments" / kind).glob("*.yaml"))]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of results that all experiments share, and with it generated files and frames."""
    folder = tmp_path_factory.mktemp("storage")
    yield folder
    assert none_left(folder) == []


def test_all_are_here() -> None:
    assert {kind: sum(spec.parent.name == kind for spec in SPECS) for kind in KINDS} == KINDS


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS, ids=[f"{spec.parent.name}-{spec.stem}" for spec in SPECS])
def test_a_published_experiment_runs(spec: Path, storage: Path) -> None:
    overrides = (f"storage={storage}", "profile=smoke")
    done = run("run-experiment", str(spec), "--profile", "smoke", "--set", overrides[0])
    assert done.code == 0, done.output
    plan = make_plan(load_spec(ROOT / spec, overrides))
    assert plan.to_run == ()
    results = {step.name: plan.result_of(step.name) for step in plan.steps}
    made = {name: manifest for name, folder in results.items() if (manifest := read_manifest(folder)) is not None}
    assert made.keys() == results.keys()
    converted = [results[name] for name, manifest in made.items() if manifest.kind == "prepare"]
    assert converted
    for folder in converted:
        files = json.loads((folder / COVERAGE_FILE).read_text(encoding="utf-8"))["files"]
        assert all(file[kind] > 0 for file in files for kind in ("captions", "questions", "references") if kind in file)
    learned = {name: manifest for name, manifest in made.items() if manifest.kind in ("pretrain", "finetune", "evaluate")}
    assert learned
    for name, manifest in learned.items():
        assert manifest.metrics or (results[name] / "submission.json").is_file(), name  # A server scores what is submitted.
        assert all(map(math.isfinite, manifest.metrics.values())), manifest.metrics
