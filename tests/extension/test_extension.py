"""From test files alone an objective with a head, a caption metric, a task, a kind of stage and a vision family are planned,
trained and evaluated; a second run skips them, and what they read makes them run again when it changes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.commands import run
from tests.support import CAPTIONS

OWN_THINGS = Path(__file__).with_name("own_things.py")
SPEC = """\
name: own
extensions: [own_things.py]
cluster: {workers: 1}
model:
  vision: {encoder: deit3_small_patch16_224, resolution: 32, patch_size: 8, embed_dim: 16, depth: 1, num_heads: 2}
  text: {vocabulary_size: 4161, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64,
    max_position_embeddings: 64}
  contrastive_dim: 16
datasets:
  pictures: {media: image, root: images, splits: {train: train.json, test: test.json, extra: extra.json}}
stages:
  pretrain: {kind: pretrain, concatenate: 1, length_weight: 0.5,
    corpora: [{dataset: pictures, objectives: [itc, length], steps: 4, batch_size: 8}]}
  counting: {kind: finetune, task: counting, init_from: pretrain, dataset: pictures, epochs: 2, batch_size: 8, tolerance: 3}
  captioning: {kind: finetune, task: captioning, init_from: pretrain, dataset: pictures, epochs: 1, batch_size: 8,
    max_caption_tokens: 6, caption_metrics: [first_word]}
  test-counting: {kind: evaluate, checkpoint: counting, dataset: pictures, tasks: [counting]}
  test-captioning: {kind: evaluate, checkpoint: captioning, dataset: pictures, tasks: [captioning],
    caption_metrics: [first_word]}
  report: {kind: report, of: test-counting, heading: heading.txt, dataset: pictures, split: extra}
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "images").mkdir()
    generator = np.random.default_rng(0)
    for name in range(8):
        picture = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"{name}.jpg")
    entries = [{"video_id": str(name), "desc": caption} for name, caption in enumerate(CAPTIONS)]
    for split in ("train", "test", "extra"):
        (folder / f"{split}.json").write_text(json.dumps(entries))
    (folder / "heading.txt").write_text("Results\n")
    shutil.copy2(OWN_THINGS, folder)
    (folder / "spec.yaml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def output(prepared: Path) -> str:
    """What the first run of everything said."""
    assert {action for action, _ in actions(prepared).values()} == {"run"}
    done = run("run-experiment", "spec.yaml", cwd=prepared)
    assert done.code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def here(prepared: Path, output: str) -> Path:
    """The folder in which everything ran once."""
    return prepared


def actions(here: Path) -> dict[str, tuple[str, str]]:
    """What the plan does with every stage, and why."""
    done = run("plan", "spec.yaml", "--json", cwd=here)
    stages: list[dict[str, Any]] = json.loads(done.output)["stages"]
    assert done.code == int(any(stage["action"] == "blocked" for stage in stages))
    return {stage["name"]: (stage["action"], stage["reason"]) for stage in stages}


def manifest_of(here: Path, stage: str) -> dict[str, Any]:
    [path] = (here / "storage" / "own" / stage).glob("*/manifest.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.slow
def test_everything_of_ones_own_is_planned_trained_and_evaluated(here: Path, output: str) -> None:
    assert "counting accuracy" in output
    assert "first word" in output
    trained = [json.loads(line) for line in _result(here, "pretrain").joinpath("progress.jsonl").read_text().splitlines()]
    losses = [record["values"]["length_loss"] for record in trained if record["kind"] == "train"]
    assert losses
    assert json.loads((_result(here, "pretrain") / "checkpoint" / "config.json").read_text())["heads"] == ["length"]
    assert "first_word" in manifest_of(here, "captioning")["metrics"], "validation computes it, too"
    counted = manifest_of(here, "test-counting")
    assert set(counted["metrics"]) == {"count_accuracy", "count_error"}
    assert counted["section"]["tolerance"] == 3, "evaluation takes over the task's own settings"
    assert set(counted["details"]["intervals"]) == set(counted["metrics"]), "its own samples have scores"
    assert {"scores_counting", "gallery_counting"} <= set(counted["outputs"])
    assert set(manifest_of(here, "test-captioning")["metrics"]) == {"first_word"}
    assert "intervals" not in manifest_of(here, "test-captioning")["details"], "a scorer of corpus values alone has none"
    report = (_result(here, "report") / "report.txt").read_text()
    assert report.startswith("Results\ncount_accuracy ")
    assert report.endswith(f"\n{len(CAPTIONS)} clips, {len(CAPTIONS)} captions\n")


def _result(here: Path, stage: str) -> Path:
    [folder] = (path.parent for path in (here / "storage" / "own" / stage).glob("*/manifest.json"))
    return folder


@pytest.mark.slow
def test_a_second_run_skips_it_all(here: Path) -> None:
    assert {action for action, _ in actions(here).values()} == {"skip"}


@pytest.mark.slow
def test_what_they_read_makes_them_run_again(here: Path) -> None:
    (here / "heading.txt").write_text("Other results\n")
    found = actions(here)
    assert found.pop("report") == ("run", "data changed: heading")
    assert {action for action, _ in found.values()} == {"skip"}
    (here / "heading.txt").unlink()
    assert actions(here)["report"][0] == "blocked"
    (here / "heading.txt").write_text("Results\n")
    assert actions(here)["report"][0] == "skip"


@pytest.mark.slow
def test_other_annotations_run_what_reads_them_again(here: Path) -> None:
    """The kind of stage of one's own is the only one that reads this split: its report counts captions."""
    entries = json.loads((here / "extra.json").read_text())
    entries[0]["desc"] = [entries[0]["desc"], "another caption of the same clip"]
    (here / "extra.json").write_text(json.dumps(entries))
    found = actions(here)
    action, reason = found.pop("report")
    assert action == "run"
    assert reason.startswith("data changed:")
    assert "extra" in reason
    assert {action for action, _ in found.values()} == {"skip"}
    done = run("run-experiment", "spec.yaml", cwd=here)
    assert done.code == 0, done.output
    [report] = [path for path in (here / "storage" / "own" / "report").glob("*/report.txt") if "9 captions" in path.read_text()]
    assert report.read_text().endswith("\n8 clips, 9 captions\n")


@pytest.mark.slow
def test_an_edited_extension_makes_all_that_it_may_change_run_again(here: Path) -> None:
    own = here / "own_things.py"
    text = own.read_text()
    own.write_text(text + "\n# edited\n")
    found = actions(here)
    assert found["pretrain"] == ("run", "data changed: extension own_things.py")
    own.write_text(text)
    assert {action for action, _ in actions(here).values()} == {"skip"}
