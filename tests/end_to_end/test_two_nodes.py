"""A cluster of two nodes that have no checkout: code and spec travel, workers are spread, runs are submitted as jobs."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.commands import ROOT, copy_results, losses, none_left, run, run_until, sets
from tests.end_to_end.nodes import Nodes

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {
    "name": "spread",
    "model": {
        "vision": {
            "encoder": "swin_tiny_patch4_window7_224", "resolution": 32, "patch_size": 8, "window_size": 4,
            "embed_dim": 16, "depth": [1, 1], "num_heads": [2, 2], "drop_path_rate": 0.0,
        },
        "text": {
            "vocabulary_size": 4161, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 64, "dropout": 0.0,
        },
        "contrastive_dim": 16,
    },
    "datasets": {
        "images": {"media": "image", "made_by": "corpus", "root": "images", "splits": {"train": "images_train.json"}},
        "clips": {
            "media": "video", "made_by": "corpus", "root": "clips",
            "splits": {"train": "clips_train.json", "test": {"captions": "clips_test.json"}},
        },
    },
    "stages": {
        "corpus": {
            "kind": "prepare", "converter": "demo",
            "options": {"images": 24, "train_clips": 6, "validation_clips": 2, "test_clips": 4, "workers": 1},
        },
        "frames": {"kind": "extract", "dataset": "clips"},
        "pretrain": {
            "kind": "pretrain", "concatenate": 1, "log_every": 1, "checkpoint_every": 3,
            "corpora": [{"dataset": "images", "objectives": ["itc"], "steps": 12, "batch_size": 8}],
        },
        "zero-shot": {"kind": "evaluate", "checkpoint": "pretrain", "dataset": "clips", "tasks": ["retrieval"], "rerank": 2},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    started = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        started.start()
        yield started
    finally:
        started.stop()
    assert none_left(Path(started.mark)) == []


def written(folder: Path) -> Path:
    """The spec in two files, so that `extends` has to travel."""
    (folder / "base.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    spec = folder / "spec.yaml"
    spec.write_text("extends: base.yaml\n")
    return spec


def manifest(storage: Path, stage: str) -> dict[str, Any]:
    (folder,) = (storage / "spread" / stage).iterdir()
    return dict(json.loads((folder / "manifest.json").read_text()))


@pytest.fixture(scope="module")
def spread(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Storage of a run with a worker on each node."""
    folder = tmp_path_factory.mktemp("spread")
    placed = ("cluster.placement=strict_spread", "cluster.workers=2")
    done = run(
        "run-experiment",
        str(written(folder)),
        *sets(f"storage={folder / 'storage'}", f"cluster.address={nodes.address}", *placed),
        **nodes.environment,
    )
    assert done.code == 0, done.output
    return folder / "storage"


def test_workers_are_spread_over_nodes_and_run_the_code_that_was_sent(spread: Path) -> None:
    (group,) = manifest(spread, "pretrain")["details"]["workers"]
    assert len({worker["node"] for worker in group}) == 2
    for worker in [*group, *manifest(spread, "zero-shot")["details"]["workers"][0]]:
        assert "/runtime_resources/working_dir_files/" in worker["code"]
        assert not Path(worker["code"]).is_relative_to(ROOT)


def test_the_dashboard_shows_names_of_stages(spread: Path, nodes: Nodes) -> None:
    assert {run["name"] for run in json.loads(nodes.get("/api/train/v2/runs/v1"))["train_runs"]} == {"spread-pretrain"}
    tasks = json.loads(nodes.get("/api/v0/tasks?limit=1000"))["data"]["result"]["result"]
    assert {"extract frames", "evaluate zero-shot"} <= {task["name"] for task in tasks}
    actors = json.loads(nodes.get("/api/v0/actors?limit=1000&detail=1"))["data"]["result"]["result"]
    named = [actor["class_name"] for actor in actors if actor["repr_name"] == "spread-pretrain"]
    assert sorted(named) == ["RayTrainWorker", "RayTrainWorker", "TrainController"]
    assert "spread" in {job["metadata"].get("job_name") for job in json.loads(nodes.get("/api/jobs/"))}


def test_a_submitted_run_resumes_with_another_number_of_workers(
    spread: Path, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is begun with one to two workers, asked to stop, and ends as a job with one.

    Each step has the same global batch: losses differ by rounding only, with no dropout and no draws in this objective.
    """
    storage = tmp_path / "storage"
    copy_results(spread, storage, "spread", "corpus", "frames")
    spec, secret = str(written(tmp_path)), "hidden-in-the-address"
    common = ("--until", "pretrain", "--storage", str(storage), *sets(f"tracking.uri=http://me:{secret}@127.0.0.1:9"))
    for name, value in nodes.environment.items():
        monkeypatch.setenv(name, value)

    def is_under_way() -> bool:
        return any(max(losses(f), default=0) >= 3 for f in (storage / "spread").glob("pretrain/*.partial"))

    elastic = sets(f"cluster.address={nodes.address}", "cluster.min_workers=1", "cluster.max_workers=2")
    stopped = run_until(is_under_way, signal.SIGTERM, "run-experiment", spec, *common, *elastic)
    assert stopped.code == 75, stopped.output

    done = run("submit", spec, "--address", nodes.dashboard, *common, *sets("cluster.workers=1"))
    assert done.code == 0, done.output
    assert f"results will be in {storage}/spread" in done.output
    assert "12 steps, loss" in done.output  # the job's own lines
    assert done.output.rstrip().endswith("succeeded")
    shown = nodes.get("/api/jobs/") + done.output
    assert "spread-" in shown
    assert secret not in shown
    assert nodes.token.read_text() not in shown

    groups = manifest(storage, "pretrain")["details"]["workers"]
    assert [len(group) for group in groups] == [2, 1]
    assert all("/runtime_resources/working_dir_files/" in worker["code"] for group in groups for worker in group)
    (ours,), (theirs,) = ((folder / "spread" / "pretrain").iterdir() for folder in (storage, spread))
    assert ours.name == theirs.name
    assert len(losses(ours)) == 12
    assert losses(ours) == pytest.approx(losses(theirs), rel=1e-4)


def test_what_cannot_be_submitted(nodes: Nodes, tmp_path: Path) -> None:
    arguments = ("submit", str(written(tmp_path)), "--address", nodes.dashboard)
    relative = run(*arguments, **nodes.environment)
    assert relative.code == 1
    assert "storage: 'storage' is relative" in relative.output
    wrong, storage = tmp_path / "wrong", tmp_path / "storage"
    wrong.write_text("fedcba9876543210" * 4)
    unknown = run(*arguments, "--storage", str(storage), **{**nodes.environment, "RAY_AUTH_TOKEN_PATH": str(wrong)})
    assert unknown.code == 1
    assert "does not accept this token; set RAY_AUTH_TOKEN_PATH" in unknown.output
    assert not storage.exists()


def test_a_job_that_fails_ends_with_1(nodes: Nodes, tmp_path: Path) -> None:
    arguments = (
        "submit", str(written(tmp_path)), "--address", nodes.dashboard, "--storage", str(tmp_path / "storage"),
        "--python", "no-such-python",
    )  # fmt: skip
    failed = run(*arguments, **nodes.environment)
    assert failed.code == 1
    assert "failed; finished work is saved: submit again to resume" in failed.output
    left_alone = run(*arguments, "--no-wait", **nodes.environment)
    assert left_alone.code == 0
    assert "ray job logs --follow spread-" in left_alone.output
    assert "ray job stop spread-" in left_alone.output
