"""Annotations that a stage uses, as MLflow's table of runs shows them."""

import json
from pathlib import Path

import pytest

from workflows.planning.plan import Plan, make_plan
from workflows.records.datasets_used import dataset_measured_on, datasets_of
from workflows.spec.load import load_spec

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
OWN = """
name: own
datasets:
  pictures: {{media: image, root: {0}, splits: {{train: {0}/train.json, val: {0}/val.json}}}}
stages:
  retrieval: {{kind: finetune, task: retrieval, dataset: pictures, epochs: 1, batch_size: 2, learning_rate: 1.0e-3}}
  test: {{kind: evaluate, checkpoint: retrieval, dataset: pictures, split: val, tasks: [captioning]}}
"""


def used(plan: Plan, stage: str) -> dict[str, tuple[str, str]]:
    """Context and digest by name."""
    step = next(step for step in plan.steps if step.name == stage)
    return {data["name"]: (data["context"], data["digest"]) for data in datasets_of(plan, step)}


def test_what_splits_of_a_generated_dataset_are_used_for(tmp_path: Path) -> None:
    plan = make_plan(load_spec(QUICKSTART, [f"storage={tmp_path}"]))
    assert {name: context for name, (context, _) in used(plan, "retrieval").items()} == {
        "clips/train/captions": "training",
        "clips/validation/captions": "validation",
    }
    assert used(plan, "frames") == used(plan, "corpus") == {}
    digests = {stage: used(plan, stage)["clips/train/captions"][1] for stage in ("retrieval", "captioning", "test-captioning")}
    assert len(set(digests.values())) == 1
    other = make_plan(load_spec(QUICKSTART, [f"storage={tmp_path}", "stages.corpus.options.seed=8"]))
    assert used(other, "retrieval")["clips/train/captions"][1] != digests["retrieval"]


@pytest.fixture
def own(tmp_path: Path) -> Plan:
    for split in ("train", "val"):
        entries = [{"video_id": f"{split}{i}", "desc": "a word"} for i in range(3)]
        (tmp_path / f"{split}.json").write_text(json.dumps(entries))
        for entry in entries:
            (tmp_path / f"{entry['video_id']}.jpg").write_bytes(b"a picture")
    spec = tmp_path / "spec.yaml"
    spec.write_text(OWN.format(tmp_path))
    return make_plan(load_spec(spec, [f"storage={tmp_path}/storage"]))


def test_files_have_one_digest_whatever_reads_them(own: Plan) -> None:
    trained, tested = used(own, "retrieval"), used(own, "test")
    assert {name: context for name, (context, _) in tested.items()} == {
        "pictures/train/captions": "baseline",
        "pictures/val/captions": "evaluation",
    }
    assert {name: digest for name, (_, digest) in trained.items()} == {name: digest for name, (_, digest) in tested.items()}


def test_figures_are_about_the_split_that_is_evaluated(own: Plan) -> None:
    """And not about the one that the baseline is taken from, which may come before it in the alphabet."""
    measured = {step.name: dataset_measured_on(own, step) for step in own.steps}
    assert {stage: data["name"] for stage, data in measured.items() if data is not None} == {
        "retrieval": "pictures/val/captions",
        "test": "pictures/val/captions",
    }
