"""From authors' files to figures: clips through extraction, images as they are, frames that exist already."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosa.datasets.authors.corpus import SampleClip
from tests.cosa.data.drawn_videos import make_video
from tests.cosa.datasets.authors.samples import write
from tests.end_to_end.commands import run
from tests.support import CAPTIONS

SPEC = """\
name: authors
cluster: {workers: 1}
model:
  vision: {encoder: vit_tiny_patch16_224, resolution: 32, patch_size: 16, embed_dim: 16, depth: 1, num_heads: 2}
  text: {vocabulary_size: 4161, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64,
    max_position_embeddings: 64}
  contrastive_dim: 16
datasets:
  clips: {media: video, made_by: captioning, root: media,
    splits: {train: train_descs_cap.json, test: {captions: test_descs_cap.json, references: cap_anno.json}}}
  pictures: {media: image, made_by: pictures, root: media, splits: {train: trainval_desc.json, test: test_desc.json}}
  stock: {media: video, made_by: stock, root: frames, frames: frames, splits: {train: train_desc.json}}
stages:
  captioning: {kind: prepare, converter: msrvtt, options: {variant: captioning, source: msrvtt, media: msrvtt/videos}}
  pictures: {kind: prepare, converter: flickr30k, options: {source: flickr, media: flickr/images}}
  stock: {kind: prepare, converter: webvid, options: {source: webvid, frames: webvid/frames, missing: leave_out}}
  frames: {kind: extract, dataset: clips}
  pretrain: {kind: pretrain, concatenate: 2, corpora: [
    {dataset: stock, objectives: [itc, ccap], steps: 2, batch_size: 4},
    {dataset: pictures, objectives: [itc], steps: 1, batch_size: 4}]}
  captions: {kind: finetune, task: captioning, init_from: pretrain, dataset: clips, epochs: 1, batch_size: 8,
    max_caption_tokens: 6, validation_split: test}
  test: {kind: evaluate, checkpoint: captions, dataset: clips, tasks: [captioning], caption_metrics: [cider]}
  search: {kind: evaluate, checkpoint: pretrain, dataset: pictures, tasks: [retrieval]}
"""
SPLITS = ("train", "train", "train", "train", "train", "validation", "test", "test")


@pytest.mark.slow
def test_authors_files_become_figures(tmp_path: Path) -> None:
    clips = tuple(
        SampleClip(number, split, (text, f"{text} again"))  # type: ignore[arg-type]
        for number, (split, text) in enumerate(zip(SPLITS, CAPTIONS, strict=False))
    )
    for name in write("msrvtt", tmp_path / "msrvtt", clips):
        (tmp_path / "msrvtt" / "videos" / "all").mkdir(parents=True, exist_ok=True)
        make_video(tmp_path / "msrvtt" / "videos" / "all" / f"{name}.mp4", frames=8)
    for number, name in enumerate(write("flickr30k", tmp_path / "flickr", clips)):
        _picture(tmp_path / "flickr" / "images" / f"{name}.jpg", number)
    for number, name in enumerate(write("webvid", tmp_path / "webvid", clips)):
        if number != 1:  # One video has vanished.
            _picture(tmp_path / "webvid" / "frames" / name / "frame_0001.jpg", number)
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = run("run-experiment", "spec.yaml", cwd=tmp_path)
    assert done.code == 0, done.output
    assert "train_descs_cap.json: 5 media, published 6,513" in done.output
    [report] = (tmp_path / "storage" / "authors").glob("stock/*/coverage.json")
    assert json.loads(report.read_text())["files"][0]["missing"] == {"count": 1, "names": ["000001_000001/1"]}
    [predictions] = (tmp_path / "storage" / "authors").glob("test/*/predictions_captioning.json")
    assert {row["video_id"] for row in json.loads(predictions.read_text())} == {"all/video6", "all/video7"}
    assert "Nothing to do" in run("run-experiment", "spec.yaml", cwd=tmp_path).output
    assert (tmp_path / "msrvtt" / "videos" / "all" / "video7.mp4").is_file()


def _picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 50, 3), 25 * number, np.uint8)).save(path)
