"""An experiment that trains for a second: eight pictures, one stage of finetuning, an evaluation."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SPEC = """
name: tiny
storage: {folder}/storage
cluster: {{workers: 1}}
model:
  vision: {{encoder: swin_tiny_patch4_window7_224, resolution: 32, patch_size: 8, window_size: 4, embed_dim: 16, depth: [1, 1],
            num_heads: [2, 4], drop_path_rate: 0.0}}
  text: {{hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64, dropout: 0.0}}
  contrastive_dim: 32
datasets:
  pictures: {{media: image, root: {folder}/images, splits: {{train: {folder}/train.json, val: {folder}/val.json}}}}
stages:
  retrieval: {{kind: finetune, task: retrieval, dataset: pictures, epochs: 2, batch_size: 4, log_every: 1}}
"""


def tiny_experiment(folder: Path) -> str:
    """Write its files; return the path of its spec."""
    images = folder / "images"
    images.mkdir(parents=True)
    for number in range(8):
        picture = np.zeros((40, 40, 3), np.uint8)
        picture[..., number % 3] = 60 + 20 * number
        Image.fromarray(picture).save(images / f"v{number}.png")
    captions = [{"video_id": f"v{number}", "desc": f"picture number {number} of eight"} for number in range(8)]
    (folder / "train.json").write_text(json.dumps(captions))
    (folder / "val.json").write_text(json.dumps(captions[:4]))
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.format(folder=folder))
    return str(spec)


def results_of(folder: Path) -> Path:
    """Where the results of its stage are."""
    return folder / "storage" / "tiny" / "retrieval"
