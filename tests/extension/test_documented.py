"""The examples of docs/extending.md, each a file of its own, train and evaluate as they stand there."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cosa.data.drawn_videos import make_video
from tests.end_to_end.commands import run
from tests.support import CAPTIONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "extending.md"
SPEC = """\
name: documented
extensions: [{files}]
cluster: {{workers: 1}}
model:
  vision: {{encoder: deit3_small_patch16_224, resolution: 32, patch_size: 8, embed_dim: 16, depth: 1, num_heads: 2}}
  text: {{vocabulary_size: 4161, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64,
    max_position_embeddings: 64}}
  contrastive_dim: 16
datasets:
  clips: {{media: video, made_by: corpus, root: clips, splits: {{train: train.json, test: test.json}}}}
  pictures: {{media: image, root: images,
    splits: {{train: {{questions: questions.json}}, test: {{questions: questions.json}}}}}}
stages:
  corpus: {{kind: prepare, converter: csv, options: {{table: captions.csv, clips: videos}}}}
  frames: {{kind: extract, dataset: clips}}
  pretrain: {{kind: pretrain, concatenate: 1, margin: 0.1,
    corpora: [{{dataset: clips, objectives: [itc, hardest, sigmoid], steps: 4, batch_size: 8}}]}}
  captioning: {{kind: finetune, task: captioning, init_from: pretrain, dataset: clips, epochs: 1, batch_size: 8,
    max_caption_tokens: 6}}
  counting: {{kind: finetune, task: counting, init_from: pretrain, dataset: pictures, epochs: 1, batch_size: 8}}
  captions: {{kind: evaluate, checkpoint: captioning, dataset: clips, tasks: [captioning], caption_metrics: [cider, distinct]}}
  counts: {{kind: evaluate, checkpoint: counting, dataset: pictures, tasks: [counting]}}
  both: {{kind: compare, of: [captions, counts]}}
"""


@pytest.mark.slow
def test_every_documented_example_runs(tmp_path: Path) -> None:
    blocks = re.findall(r'```python\n("""(\w+\.py): .*?)```', DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    for text, name in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(SPEC.format(files=", ".join(name for _, name in blocks)))
    for folder in ("videos", "images"):
        (tmp_path / folder).mkdir()
    for name in range(len(CAPTIONS)):
        make_video(tmp_path / "videos" / f"{name}.mp4", frames=8)
        Image.fromarray(np.full((40, 50, 3), 30 * name, np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
    with (tmp_path / "captions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["split", "clip", "caption"])
        rows.writerows((split, name, text) for split in ("train", "test") for name, text in enumerate(CAPTIONS))
    questions = [{"video_id": str(name), "question": "how many", "answer": str(name % 3)} for name in range(len(CAPTIONS))]
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    done = run("run-experiment", "spec.yaml", cwd=tmp_path)
    assert done.code == 0, done.output
    results = tmp_path / "storage" / "documented"
    [trained] = results.glob("pretrain/*/progress.jsonl")
    assert "hardest_loss" in trained.read_text()
    assert "sigmoid_loss" in trained.read_text()
    [comparison] = results.glob("both/*/comparison.csv")
    assert comparison.read_text().splitlines()[0] == "metric,captions,counts"
    assert {line.partition(",")[0] for line in comparison.read_text().splitlines()[1:]} >= {"distinct", "cider", "accuracy"}
