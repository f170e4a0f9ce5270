"""`--profile smoke` makes any spec small."""

import tarfile
from pathlib import Path

import pytest

from cosa.encoders.vision_families import VISION_FAMILIES
from cosa.errors import UserError
from cosa.model_config import ModelConfig
from workflows.planning.plan import make_plan
from workflows.spec.experiment import Experiment
from workflows.spec.load import load_spec
from workflows.stages.evaluate import EvaluateSection
from workflows.stages.finetune import FinetuneSection
from workflows.stages.index import IndexSection
from workflows.stages.pretrain import PretrainSection

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
OWN = """
name: own
profile: smoke
model: {vision: {encoder: vit_large_patch14_clip_quickgelu_336, resolution: 336, pretrained: true}}
datasets:
  images: {media: image, root: images, splits: {train: train.json}}
stages:
  pretrain:
    kind: pretrain
    corpora:
      - {dataset: images, objectives: [itc, citc], steps: 50000, batch_size: 2048}
      - {dataset: images, objectives: [cap], steps: 50000, batch_size: 2048}
  retrieval: {kind: finetune, task: retrieval, init_from: pretrain, dataset: images, epochs: 5, batch_size: 64,
              resolution: 384, eval_batch_size: 64, train_frames: 8, precision: float16}
  captions: {kind: finetune, task: captioning, init_from: weights/cosa, dataset: images, epochs: 5}
"""


SHARDS = """
name: web
profile: smoke
datasets:
  web: {media: image, splits: {train: "s3://bucket/web/{00000..00331}.tar?region=eu"}}
  clips: {media: video, splits: {train: {shards: ["clips/{00..10}.tar"]}, more: clips/more.tar}}
stages:
  web-index: {kind: index, dataset: web, caption: json.title}
  clips-index: {kind: index, dataset: clips}
  pretrain:
    kind: pretrain
    corpora:
      - {dataset: web, objectives: [itc], steps: 500, batch_size: 2048, streams: 64}
      - {dataset: clips, objectives: [itc], steps: 500, batch_size: 1024, train_frames: 8}
"""


def own(folder: Path, *overrides: str) -> Experiment:
    (folder / "own.yaml").write_text(OWN, encoding="utf-8")
    return load_spec(folder / "own.yaml", [f"storage={folder / 'storage'}", *overrides])


def test_everything_becomes_small(tmp_path: Path) -> None:
    experiment = own(tmp_path)
    section = experiment.section
    assert section.name == "own-smoke"
    assert section.model.vision.encoder == "vit_large_patch14_clip_quickgelu_336"  # It is of the same kind.
    assert section.model.vision.resolution == 32
    assert section.model.vision.pretrained is False
    pretrain, retrieval, captions = (experiment.stages[name] for name in ("pretrain", "retrieval", "captions"))
    assert isinstance(pretrain, PretrainSection)
    assert [one.objectives for one in pretrain.corpora] == [("itc", "citc"), ("cap",)]
    assert {(one.steps, one.batch_size) for one in pretrain.corpora} == {(2, 8)}
    assert isinstance(retrieval, FinetuneSection)
    assert (retrieval.init_from, retrieval.batch_size, retrieval.resolution) == ("pretrain", 8, None)
    assert (retrieval.eval_batch_size, retrieval.train_frames, retrieval.precision) == (8, 2, "auto")
    assert isinstance(captions, FinetuneSection)
    assert captions.init_from is None


def test_data_of_ones_own_are_generated(tmp_path: Path) -> None:
    experiment = own(tmp_path)
    images = experiment.section.datasets["images"]
    assert images.root == str(tmp_path / "storage/.smoke/image/media")
    assert not make_plan(experiment).missing


def test_shards_are_generated(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(SHARDS, encoding="utf-8")
    experiment = load_spec(tmp_path / "web.yaml", [f"storage={tmp_path / 'storage'}"])
    assert not make_plan(experiment).missing
    web, clips = (experiment.section.datasets[name] for name in ("web", "clips"))
    folder = tmp_path / "storage/.smoke/image-shards/shards"
    assert web.splits["train"].shards == (f"{folder}/train-0.tar", f"{folder}/train-1.tar")
    assert clips.has_shards
    index, pretrain = experiment.stages["web-index"], experiment.stages["pretrain"]
    assert isinstance(index, IndexSection)
    assert index.caption == "txt"
    assert isinstance(pretrain, PretrainSection)
    assert [(one.streams, one.train_frames) for one in pretrain.corpora] == [(None, None), (None, 2)]


@pytest.mark.parametrize("decode, member", [("null", "0001.jpg"), ("online", "mp4")])
def test_shards_hold_frames_or_clips(tmp_path: Path, decode: str, member: str) -> None:
    (tmp_path / "web.yaml").write_text(SHARDS, encoding="utf-8")
    experiment = load_spec(tmp_path / "web.yaml", [f"storage={tmp_path / 'storage'}", f"datasets.clips.decode={decode}"])
    with tarfile.open(experiment.section.datasets["clips"].splits["train"].shards[0]) as shard:
        assert shard.getnames()[0].partition(".")[2] == member


def test_what_set_gives_stays(tmp_path: Path) -> None:
    experiment = own(tmp_path, "stages.retrieval.batch_size=4", "name=mine")
    retrieval = experiment.stages["retrieval"]
    assert isinstance(retrieval, FinetuneSection)
    assert (retrieval.batch_size, retrieval.train_frames) == (4, 2)
    assert experiment.section.name == "mine"


def test_an_unknown_profile(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no profile 'smok'.*did you mean 'smoke'"):
        own(tmp_path, "profile=smok")


def test_a_published_spec_is_planned_on_generated_files(tmp_path: Path) -> None:
    experiment = load_spec(EXPERIMENTS / "retrieval/msrvtt.yaml", [f"storage={tmp_path}", "profile=smoke"])
    plan = make_plan(experiment)
    assert not plan.missing
    assert (tmp_path / ".smoke/msrvtt/source/MSRVTT_JSFUSION_test.csv").is_file()
    test = experiment.stages["test"]
    assert isinstance(test, EvaluateSection)
    assert test.published == {}


@pytest.mark.parametrize("name", VISION_FAMILIES)
def test_the_smallest_encoder_of_a_family_can_be_had(name: str) -> None:
    family = VISION_FAMILIES[name]
    config = ModelConfig.model_validate({"vision": {"encoder": family.example, **family.smallest}})
    assert config.vision.embed_dim is not None
    assert config.vision.embed_dim <= 32
