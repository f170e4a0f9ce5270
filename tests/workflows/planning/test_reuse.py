"""Results are used again under other names, and by other experiments."""

import shutil
from pathlib import Path

import pytest

from tests.workflows.planning.planned import STAGES, fingerprints, finish, lay_out, plan, reasons
from workflows.execution.reruns import put_back


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


# Everything of an own dataset and of stages under other names.
RENAMED = """
name: another
model: {contrastive_dim: 64}
datasets:
  films: {media: video, root: moved/films, splits: {learn: moved/learn.json, check: moved/check.json, rest: moved/rest.json}}
  stills: {media: image, root: moved/stills, splits: {all: moved/learn.json}}
  drawn:
    {media: video, made_by: made, root: clips, splits: {train: a.json, test: {captions: b.json, references: r.json}, x: x.json}}
stages:
  made: {kind: prepare, converter: demo}
  drawn-frames: {kind: extract, dataset: drawn}
  films-frames: {kind: extract, dataset: films}
  start:
    kind: pretrain
    corpora:
      - {dataset: stills, split: all, objectives: [itc], steps: 3, batch_size: 2}
      - {dataset: drawn, objectives: [cap], steps: 3, batch_size: 2}
  search:
    {kind: finetune, task: retrieval, init_from: start, dataset: films, train_split: learn, validation_split: check, epochs: 2,
     batch_size: 2, sweep: {learning_rate: [1.0e-4, 1.0e-3]}}
  judged: {kind: evaluate, checkpoint: search, dataset: films, split: check, tasks: [retrieval]}
  described: {kind: evaluate, checkpoint: start, dataset: drawn, tasks: [captioning]}
"""


def test_what_is_only_renamed_is_done(here: Path) -> None:
    """The experiment, its datasets, splits, files and stages; the plan says whose results are used."""
    first = plan()
    finish(first)
    Path("moved").mkdir()
    for old, new in {"own/clips": "films", "pictures": "stills", "own/train.json": "learn.json", "own/val.json": "check.json",
                     "own/spare.json": "rest.json"}.items():  # fmt: skip
        Path(old).rename(Path("moved", new))
    Path("spec.yaml").write_text(RENAMED)
    second = plan()
    assert reasons(second) == {}
    used = {step.reason.removeprefix("done as demo/") for step in second.steps}
    assert used == set(STAGES)
    assert {str(second.result_of(step.name)) for step in second.steps} == {str(first.result_of(name)) for name in STAGES}
    assert {step.action for step in plan(force=("search",)).steps if step.name in ("search", "judged")} == {"run"}
    shutil.rmtree("storage/demo/retrieval")
    assert reasons(plan()) == {"search": "new"}


def test_a_damaged_result_of_another_experiment_is_not_used(here: Path) -> None:
    first = plan()
    finish(first)
    (first.result_of("test") / "contents.json").unlink()
    assert reasons(plan("name=another")) == {"test": "new"}


@pytest.mark.parametrize("own", [True, False])
def test_a_result_whose_exchange_was_killed_is_used(here: Path, own: bool) -> None:
    """By its own experiment and by others: days of training would be repeated."""
    first = plan()
    finish(first)
    result = first.result_of("pretrain")
    aside = result.rename(result.with_name(f".{result.name}.replaced"))
    made = plan() if own else plan("name=another")
    assert reasons(made) == {}
    assert made.result_of("pretrain") == aside
    assert made.storage.damage_of("pretrain", aside, read_all=True) is None
    put_back(made)
    assert (result.is_dir(), aside.is_dir()) == ((True, False) if own else (False, True))


def test_a_path_to_a_stages_own_checkpoint_stands_for_the_stage(here: Path) -> None:
    """Its frames come from the spec here, which a real checkpoint's settings say."""
    frames = ("stages.retrieval.train_frames=4", "stages.test.train_frames=4")
    made = plan(*frames)
    fingerprint = fingerprints(made)["retrieval"]
    checkpoint = made.storage.partial("retrieval", str(fingerprint)) / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_text("weights")
    (checkpoint / "config.json").write_text("{}")
    finish(made)
    path = made.storage.result("retrieval", str(fingerprint)) / "checkpoint"
    by_path = (*frames, f"stages.test.checkpoint=./{path}")
    step = next(step for step in plan(*by_path).steps if step.name == "test")
    assert (step.action, step.fingerprint) == ("skip", fingerprints(made)["test"])
    Path("link").symlink_to(path)
    assert plan(*frames, "stages.test.checkpoint=./link").to_run == ()
    Path("mixed").mkdir()  # Weights of the stage beside another configuration are no checkpoint of it.
    Path("mixed/model.safetensors").symlink_to((path / "model.safetensors").absolute())
    Path("mixed/config.json").write_text("{}")
    assert "test" in reasons(plan(*frames, "stages.test.checkpoint=./mixed"))
    (path / "model.safetensors").write_text("Weights")  # They are no longer those that the stage has made.
    assert "test" in reasons(plan(*by_path))
    shutil.copytree(path, "copy")
    assert fingerprints(plan(*by_path))["test"] == fingerprints(plan(*frames, "stages.test.checkpoint=./copy"))["test"]
