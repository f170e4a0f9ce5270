"""Training and evaluation built from a stage's section, without Ray: behaviour and published checkpoints arrive everywhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cosa.behaviour import BEHAVIOURS, DEFAULT, PUBLISHED
from cosa.data.dataset_files import DatasetFiles
from cosa.tasks.evaluator import Evaluator
from cosa.training.published_adamw import PublishedAdamW
from tests.cosa.checkpoints.published import published_folder
from tests.support import CAPTIONS, tiny_model
from workflows.execution.job import Job
from workflows.execution.workers import evaluation_worker, trainer_of_job
from workflows.spec.load import load_spec

CPU = torch.device("cpu")
SPEC = """\
name: demo
datasets: {{images: {{media: image, root: images, splits: {{train: train.json, test: train.json}}}}}}
{top}
stages:
  pretrain: {{kind: pretrain, init_from: ./cosa, concatenate: 2,
    corpora: [{{dataset: images, objectives: [itc, itm, citc, citm, cmlm, ccap], steps: 4, batch_size: 4}}]}}
  scst: {{kind: finetune, task: captioning, self_critical: true, init_from: ./cosa, dataset: images, epochs: 1, batch_size: 4,
    max_caption_tokens: 5}}
  test: {{kind: evaluate, checkpoint: ./cosa, dataset: images, tasks: [retrieval]{stage}}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    for name in range(6):
        Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
    entries = [{"video_id": str(name), "desc": CAPTIONS[name]} for name in range(6)]
    (tmp_path / "train.json").write_text(json.dumps(entries))
    published_folder(tmp_path / "cosa", tiny_model(), video_resolution=32)
    return tmp_path


def sections(top: str = "", stage: str = "") -> dict[str, Any]:
    Path("spec.yaml").write_text(SPEC.format(top=top, stage=stage))
    return dict(load_spec(Path("spec.yaml"), [], environment={}).stages)


def job(section: Any, folder: Path) -> Job:
    kinds = {"captions": "train.json", "questions": None, "references": None}
    files = DatasetFiles("images", "image", "images", None, {"train": kinds, "test": kinds})
    return Job(section.model_dump(mode="json"), {"images": files}, 0, str(folder), checkpoint=str(folder / "cosa"))


def test_the_experiment_s_behaviour_reaches_its_stages(here: Path) -> None:
    assert {s.behaviour for s in sections().values()} == {"default"}
    assert {s.behaviour for s in sections("behaviour: published").values()} == {"published"}
    mixed = sections("behaviour: published", ", behaviour: default")
    assert [mixed[name].behaviour for name in ("pretrain", "test")] == ["published", "default"]


@pytest.mark.parametrize("name", ["default", "published"])
def test_training_from_a_published_checkpoint(here: Path, name: str) -> None:
    trainer = trainer_of_job(job(sections(f"behaviour: {name}")["pretrain"], here), CPU)
    behaviour = PUBLISHED if name == "published" else DEFAULT
    assert trainer.losses.behaviour == behaviour
    assert isinstance(trainer.optimizer, PublishedAdamW) == behaviour.uncorrected_decay
    assert trainer.batches.join_with_self == behaviour.join_with_self
    assert trainer.batches.corpora[0].clips.transform.antialias == behaviour.antialias  # type: ignore[attr-defined]
    weights = tiny_model().state_dict()["multimodal.bert.embeddings.word_embeddings.weight"]
    assert torch.equal(trainer.losses.model.multimodal.bert.embeddings.word_embeddings.weight, weights)
    records: list[dict[str, float]] = []
    trainer.run(lambda _, record: records.append(record), lambda _: None)
    assert records
    assert all(np.isfinite(value) for value in records[-1].values())


@pytest.mark.parametrize("name", ["default", "published"])
def test_self_critical_training(here: Path, name: str) -> None:
    trainer = trainer_of_job(job(sections(f"behaviour: {name}")["scst"], here), CPU)
    assert trainer.losses.prepared["scst"].max_tokens == 5
    record = trainer.train_step(trainer.batches[0])
    assert torch.isfinite(record["scst_loss"])
    assert record["reward"] >= 0
    assert record["loss"] == record["scst_loss"]


def test_an_evaluation_worker_takes_a_published_checkpoint(here: Path) -> None:
    found = evaluation_worker({"job": job(sections()["test"], here).plain(), "threads": 1})
    assert found is not None
    assert 0 <= found["retrieval"]["metrics"]["text_to_video_r1"] <= 100
    assert len(found["retrieval"]["predictions"]) == 6


@pytest.mark.parametrize("name", ["default", "published"])
def test_evaluation(here: Path, name: str) -> None:
    section = sections(f"behaviour: {name}")["test"].model_copy(update={"rerank": 2})
    behaviour = BEHAVIOURS[section.behaviour]
    assert behaviour == (PUBLISHED if name == "published" else DEFAULT)
    files = job(section, here).datasets["images"]
    evaluator = Evaluator(files, "test", section, resolution=32, device=CPU, behaviour=behaviour)
    scores = evaluator.run(tiny_model(), "retrieval").predictions[0]["scores"]
    assert (scores[2:] == [0.0] * 4) == (name == "published")
