"""A cluster of two nodes that have no checkout: code and spec travel, workers are spread, runs are submitted as jobs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.commands import ROOT, none_left, run, sets
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
            "kind": "pretrain", "concatenate": 1, "log_every": 1, "checkpoint_every": 2,
            "corpora": [{"dataset": "images", "objectives": ["itc"], "steps": 6, "batch_size": 8}],
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


def test_workers_are_spread_over_nodes_and_run_the_code_that_was_sent(nodes: Nodes, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    done = run(
        "run-experiment",
        str(written(tmp_path)),
        *sets(f"storage={storage}", f"cluster.address={nodes.address}", "cluster.placement=strict_spread", "cluster.workers=2"),
        **nodes.environment,
    )
    assert done.code == 0, done.output
    (group,) = manifest(storage, "pretrain")["details"]["workers"]
    assert len({worker["node"] for worker in group}) == 2
    for worker in [*group, *manifest(storage, "zero-shot")["details"]["workers"][0]]:
        assert "/runtime_resources/working_dir_files/" in worker["code"]
        assert not Path(worker["code"]).is_relative_to(ROOT)


def test_a_run_is_submitted_and_followed_to_its_end(nodes: Nodes, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    secret = "hidden-in-the-address"
    arguments = (
        "submit", str(written(tmp_path)), "--address", nodes.dashboard,
        *sets(f"tracking.uri=http://me:{secret}@127.0.0.1:9", "stages.frames=", "stages.zero-shot=", "datasets.clips="),
    )  # fmt: skip
    relative = run(*arguments, **nodes.environment)
    assert relative.code == 1
    assert "storage: 'storage' is relative" in relative.output

    wrong = tmp_path / "wrong"
    wrong.write_text("fedcba9876543210" * 4)
    unknown = run(*arguments, "--storage", str(storage), **{**nodes.environment, "RAY_AUTH_TOKEN_PATH": str(wrong)})
    assert unknown.code == 1
    assert "does not accept this token; set RAY_AUTH_TOKEN_PATH" in unknown.output
    assert not storage.exists()

    done = run(*arguments, "--storage", str(storage), **nodes.environment)
    assert done.code == 0, done.output
    assert f"results will be in {storage}/spread" in done.output
    assert "6 steps, loss" in done.output  # the job's own lines
    assert done.output.rstrip().endswith("succeeded")
    (group,) = manifest(storage, "pretrain")["details"]["workers"]
    assert all("/runtime_resources/working_dir_files/" in worker["code"] for worker in group)

    again = run(*arguments, "--storage", str(storage), "--no-wait", **nodes.environment)
    assert again.code == 0, again.output
    assert "ray job logs --follow spread-" in again.output
    assert "ray job stop spread-" in again.output
    told = nodes.get("/api/jobs/") + done.output + again.output
    assert "spread-" in told
    assert secret not in told
    assert nodes.token.read_text() not in told


def test_a_job_that_fails_ends_with_1(nodes: Nodes, tmp_path: Path) -> None:
    failed = run(
        "submit", str(written(tmp_path)), "--address", nodes.dashboard, "--storage", str(tmp_path / "storage"),
        "--only", "corpus", "--python", "no-such-python", **nodes.environment,
    )  # fmt: skip
    assert failed.code == 1
    assert "failed; what is done is kept: submit again to go on" in failed.output
