"""A spec with every kind of stage, its files, and results as running it would leave them behind."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflows.planning.plan import Plan, Step, make_plan
from workflows.results.manifest import Manifest
from workflows.spec.experiment import Experiment
from workflows.spec.load import load_spec

CAPTIONS = [{"video_id": f"v{i}", "desc": f"caption {i}"} for i in range(3)]
QUESTIONS = [{"video_id": f"v{i}", "question": "what", "answer": "this"} for i in range(3)]
SPEC: dict[str, Any] = {
    "name": "demo",
    "model": {"contrastive_dim": 64},
    "datasets": {
        "made": {
            "media": "video",
            "made_by": "corpus",
            "root": "clips",
            "splits": {"train": "a.json", "test": {"captions": "b.json", "references": "r.json"}, "spare": "x.json"},
        },
        "own": {
            "media": "video",
            "root": "own/clips",
            "splits": {"train": "own/train.json", "val": "own/val.json", "spare": "own/spare.json"},
        },
        "pictures": {"media": "image", "root": "pictures", "splits": {"train": "own/train.json"}},
    },
    "stages": {
        "corpus": {"kind": "prepare", "converter": "demo"},
        "made-frames": {"kind": "extract", "dataset": "made"},
        "own-frames": {"kind": "extract", "dataset": "own"},
        "pretrain": {
            "kind": "pretrain",
            "corpora": [
                {"dataset": "pictures", "objectives": ["itc"], "steps": 3, "batch_size": 2},
                {"dataset": "made", "objectives": ["cap"], "steps": 3, "batch_size": 2},
            ],
        },
        "retrieval": {
            "kind": "finetune",
            "task": "retrieval",
            "init_from": "pretrain",
            "dataset": "own",
            "epochs": 2,
            "batch_size": 2,
            "sweep": {"learning_rate": [1.0e-4, 1.0e-3]},
        },
        "test": {"kind": "evaluate", "checkpoint": "retrieval", "dataset": "own", "split": "val", "tasks": ["retrieval"]},
        "captions": {"kind": "evaluate", "checkpoint": "pretrain", "dataset": "made", "tasks": ["captioning"]},
    },
}
STAGES = tuple(SPEC["stages"])


def lay_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spec and the user's files in a folder, which becomes the working directory."""
    monkeypatch.chdir(folder)
    for name in ("own/clips", "pictures"):
        Path(name).mkdir(parents=True)
    for entry in CAPTIONS:
        Path(f"own/clips/{entry['video_id']}.mp4").write_text(f"clip {entry['video_id']}")
        Path(f"pictures/{entry['video_id']}.jpg").write_text(f"picture {entry['video_id']}")
    for name in ("train", "val", "spare"):
        Path(f"own/{name}.json").write_text(json.dumps(CAPTIONS))
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    return folder


def load(*overrides: str) -> Experiment:
    """Load spec.yaml."""
    return load_spec(Path("spec.yaml"), overrides, environment={})


def plan(*overrides: str, force: tuple[str, ...] = (), forced_before: Collection[Path] = ()) -> Plan:
    """Plan spec.yaml."""
    return make_plan(load(*overrides), force=force, forced_before=forced_before)


def finish(made: Plan, *names: str) -> None:
    """Leave behind what running stages leaves behind."""
    for step in made.steps:
        if step.action == "run" and (not names or step.name in names):
            publish(made, step)


def publish(made: Plan, step: Step) -> None:
    assert step.fingerprint is not None
    made.storage.partial(step.name, step.fingerprint).mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        experiment=made.experiment.name,
        stage=step.name,
        kind=step.kind,
        kind_version=step.version,
        fingerprint=step.fingerprint,
        section=step.section.model_dump(mode="json"),
        seed=step.seed,
        model=step.model,
        inputs=step.inputs,
        data=step.data,
        amounts=step.amounts,
    )
    made.storage.publish(step.name, step.fingerprint, manifest)


def reasons(made: Plan) -> dict[str, str]:
    return {step.name: step.reason for step in made.to_run}


def fingerprints(made: Plan) -> dict[str, str | None]:
    return {step.name: step.fingerprint for step in made.steps}
