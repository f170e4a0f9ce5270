"""Training and evaluation straight from videos give what they give on extracted frames, through the command line."""

import json
from pathlib import Path

import pytest

from tests.cosa.data.broken_decoders import CRASHES, HANGS, broken_decord, without
from tests.cosa.data.drawn_videos import make_video
from tests.end_to_end.commands import run, sets

SPEC = """
name: online
cluster: {workers: 1}
model:
  vision: {encoder: swin_tiny_patch4_window7_224, resolution: 32, patch_size: 8, window_size: 4, embed_dim: 16, depth: [1, 1],
           num_heads: [2, 4], drop_path_rate: 0.0}
  text: {hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64, dropout: 0.0}
  contrastive_dim: 32
datasets:
  clips: {media: video, root: clips, splits: {train: train.json, val: val.json}}
stages:
  frames: {kind: extract, dataset: clips, fps: 4}
  retrieval: {kind: finetune, task: retrieval, dataset: clips, epochs: 2, batch_size: 4, train_frames: 2, log_every: 1,
              loader_workers: 1, transforms: crop_flip}
  test: {kind: evaluate, checkpoint: retrieval, dataset: clips, split: val, tasks: [retrieval]}
"""
ONLINE = ("stages.frames=", "datasets.clips.decode=online")


@pytest.mark.slow
def test_training_from_videos_is_that_on_extracted_frames(tmp_path: Path) -> None:
    laid_out(tmp_path)
    decode = f'datasets.clips.decode={{"cache": "{tmp_path / "cache"}"}}'
    online = run("run-experiment", "spec.yaml", *sets("stages.frames=", decode, "storage=online"), cwd=tmp_path, timeout=300)
    assert online.code == 0, online.output
    assert not (tmp_path / "online" / ".frames").exists()
    extracted = run("run-experiment", "spec.yaml", *sets("storage=extracted"), cwd=tmp_path, timeout=300)
    assert extracted.code == 0, extracted.output
    assert results(tmp_path / "online") == results(tmp_path / "extracted")
    # What was trained on extracted frames is not trained again.
    again = run("run-experiment", "spec.yaml", *sets(*ONLINE, "storage=extracted"), cwd=tmp_path, timeout=300)
    assert "Nothing to do" in again.output
    # A clip that is gone is named before anything runs, and a damaged one where it is read.
    (tmp_path / "clips" / "v1.mp4").unlink()
    missing = run("plan", "spec.yaml", *sets(*ONLINE), cwd=tmp_path, timeout=300)
    assert "v1" in missing.output
    (tmp_path / "clips" / "v1.mp4").write_bytes((tmp_path / "clips" / "v0.mp4").read_bytes()[:-2000])
    damaged = run("run-experiment", "spec.yaml", *sets(*ONLINE, "storage=damaged"), cwd=tmp_path, timeout=300)
    assert damaged.code == 1
    assert "clip 'v1': " in damaged.output
    assert "v1.mp4" in damaged.output
    assert "Traceback" not in damaged.output


@pytest.mark.slow
def test_a_decoder_that_is_missing_or_broken_is_reported(tmp_path: Path) -> None:
    laid_out(tmp_path)
    decode = "datasets.clips.decode={decoder: decord, seconds_per_clip: 4, cache_gigabytes: 0}"
    arguments = ("run-experiment", "spec.yaml", *sets("stages.frames=", decode))
    hidden = run(*arguments, cwd=tmp_path, timeout=300, PYTHONPATH=str(without(tmp_path / "without", "decord")))
    assert hidden.code == 1
    assert "datasets.clips.decode.decoder: decord is not installed; install it with `pip install" in hidden.output
    assert not (tmp_path / "storage" / "online").exists()
    for what, message in (
        (HANGS, "decoding took longer than 4 s"),
        (CRASHES, "its decoder crashed, or its process was killed (SIGABRT)"),
    ):
        broken = broken_decord(tmp_path / f"broken {len(what)}", "v5.", what)
        ended = run(*arguments, cwd=tmp_path, timeout=300, PYTHONPATH=str(broken))
        assert ended.code == 1, ended.output
        assert f"clip 'v5': {tmp_path / 'clips' / 'v5.mp4'}: {message}" in " ".join(ended.output.split())
        assert "Traceback" not in ended.output


def laid_out(folder: Path) -> None:
    (folder / "clips").mkdir()
    for number in range(8):
        make_video(folder / "clips" / f"v{number}.mp4", frames=20 + number, noise=number % 2 == 0, options={"bf": "2"})
    captions = [{"video_id": f"v{number}", "desc": f"clip number {number} of eight"} for number in range(8)]
    (folder / "train.json").write_text(json.dumps(captions))
    (folder / "val.json").write_text(json.dumps(captions[:4]))
    (folder / "spec.yaml").write_text(SPEC)


def results(storage: Path) -> dict[str, bytes]:
    """The fingerprints of what was trained and evaluated, with the weights and the metrics."""
    found = {}
    for stage in ("retrieval", "test"):
        [folder] = (path for path in (storage / "online" / stage).iterdir() if path.is_dir())
        manifest = json.loads((folder / "manifest.json").read_text())
        weights = folder / "checkpoint" / "model.safetensors"
        found[f"{stage} {folder.name}"] = weights.read_bytes() if weights.exists() else json.dumps(manifest["metrics"]).encode()
    return found
