"""The examples of docs/extending.md, each a file of its own, can be used in a spec as they stand there."""

import re
from pathlib import Path

import pytest

from tests.end_to_end.commands import run

DOCUMENT = Path(__file__).parents[2] / "docs" / "extending.md"
SPEC = """\
name: documented
extensions: [{files}]
model: {{vision: {{encoder: deit3_small_patch16_224}}}}
datasets:
  clips: {{media: video, made_by: corpus, root: clips, splits: {{train: train.json, test: test.json}}}}
stages:
  corpus: {{kind: prepare, converter: csv, options: {{table: captions.csv, clips: videos}}}}
  frames: {{kind: extract, dataset: clips}}
  pretrain: {{kind: pretrain, corpora: [{{dataset: clips, objectives: [itc, hardest, sigmoid], steps: 4, batch_size: 8}}]}}
  captioning: {{kind: finetune, task: captioning, init_from: pretrain, dataset: clips, epochs: 1}}
  counting: {{kind: finetune, task: counting, init_from: pretrain, dataset: clips, epochs: 1}}
  captions: {{kind: evaluate, checkpoint: captioning, dataset: clips, tasks: [captioning], caption_metrics: [cider, distinct]}}
  counts: {{kind: evaluate, checkpoint: counting, dataset: clips, tasks: [counting]}}
  both: {{kind: compare, of: [captions, counts]}}
"""


@pytest.mark.slow
def test_a_spec_may_use_every_documented_example(tmp_path: Path) -> None:
    blocks = re.findall(r'```python\n("""(\w+\.py): .*?)```', DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    for text, name in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(SPEC.format(files=", ".join(name for _, name in blocks)))
    done = run("validate", "spec.yaml", cwd=tmp_path)
    assert done.code == 0, done.output
    assert "both (compare)" in done.output
