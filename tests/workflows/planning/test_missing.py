"""What has to be provided before an experiment can run."""

import os
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import finish, lay_out, plan
from workflows.planning.plan import check_annotations

RELATIVE = ", given relative to the working directory"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def test_missing_files_block_what_needs_them(here: Path) -> None:
    Path("own/val.json").unlink()
    made = plan()
    assert made.missing == (f"datasets.own.splits.val: no file {here}/own/val.json{RELATIVE}",)
    blocked = {step.name: step.reason for step in made.steps if step.action == "blocked"}
    assert blocked == {
        "own-frames": "missing: data of dataset own",
        "retrieval": "needs own-frames",
        "test": "needs own-frames, retrieval",
    }
    check_annotations(made)  # what is not there is not read
    with pytest.raises(UserError, match="stage own-frames has no result: missing: data of dataset own"):
        made.result_of("own-frames")


def test_a_dataset_whose_folder_is_absent_is_one_line(here: Path) -> None:
    moved = [
        "paths.data=nowhere",
        "datasets.own.root=${paths.data}/own/clips",
        *(f"datasets.own.splits.{split}=${{paths.data}}/own/{split}.json" for split in ("train", "val", "spare")),
    ]
    assert plan(*moved).missing == (
        f"datasets.own: no folder {here}/nowhere/own{RELATIVE} (root, train, val and spare annotations); put the data there or "
        "--set paths.data=FOLDER",
    )
    Path("nowhere/own").mkdir(parents=True)
    assert len(plan(*moved).missing) == 4
    unnamed = [override.replace("${paths.data}", "absent") for override in moved[1:]]
    assert plan(*unnamed).missing[0].endswith("; put the data there or correct datasets.own")


def test_retrieval_is_evaluated_without_the_training_split(here: Path) -> None:
    text = """
name: zero-shot
datasets: {own: {media: image, root: pictures, splits: {train: nowhere.json, val: own/val.json}}}
stages:
  test: {kind: evaluate, checkpoint: ./start, dataset: own, split: val, tasks: [retrieval]}
"""
    Path("spec.yaml").write_text(text)
    Path("start").mkdir()
    Path("start/model.safetensors").touch()
    assert plan().missing == ()
    assert plan("stages.test.tasks=[captioning]").missing == (
        f"datasets.own.splits.train: no file {here}/nowhere.json{RELATIVE}",
    )


def test_clips_that_annotations_name_and_nobody_has(here: Path) -> None:
    Path("own/clips/v1.mp4").rename("own/clips/V_1.mp4")
    Path("own/clips/v2.mp4").unlink()
    made = plan()
    (line,) = made.missing
    assert line.startswith(f"datasets.own.root: 2 of 3 clips that the annotations name cannot be found in {here}/own/clips: ")
    assert "'v1' (is it 'V_1.mp4'?), 'v2' (own/clips/v2 is missing; tried " in line
    assert {step.name: step.reason for step in made.steps if step.action == "blocked"} == {
        "own-frames": "missing: clips of dataset own",
        "retrieval": "needs own-frames",
        "test": "needs own-frames, retrieval",
    }
    assert plan("stages.own-frames.max_unreadable=2").missing == ()


def test_images_and_own_frames_that_annotations_name_and_nobody_has(here: Path) -> None:
    Path("pictures/v1.jpg").unlink()
    frames = ("datasets.own.frames=own/frames", "stages.own-frames=")
    for clip in ("v0", "v2"):
        Path("own/frames", clip).mkdir(parents=True)
        Path("own/frames", clip, "frame_0001.jpg").touch()
    pictures, own = plan(*frames).missing
    assert f"1 of 3 images that the annotations name cannot be found in {here}/pictures: 'v1' (" in pictures
    assert own.startswith("datasets.own.frames: 1 of 3 clips that")
    assert own.endswith("'v1' (it has no folder of frames)")


@pytest.mark.parametrize("given", ["run", "run/checkpoint/ckpt", "run/checkpoint/model"])
def test_a_checkpoint_one_level_off(here: Path, given: str) -> None:
    Path("run/checkpoint").mkdir(parents=True)
    Path("run/checkpoint/model.safetensors").touch()
    (line,) = plan(f"stages.pretrain.init_from=./{given}").missing
    assert line == f"stages.pretrain.init_from: no checkpoint {here}/{given}{RELATIVE}; is it run/checkpoint?"


def test_the_newest_of_a_stages_results(here: Path) -> None:
    for age, name in enumerate((".a.replaced", "b", "c", "d.partial")):
        Path("runs/stage", name, "checkpoint").mkdir(parents=True)
        Path("runs/stage", name, "manifest.json").touch()
        Path("runs/stage", name, "checkpoint", "model.safetensors").touch()
        os.utime(Path("runs/stage", name), (age, age))
    os.utime("runs/stage/b", (9, 9))
    (line,) = plan("stages.pretrain.init_from=runs/stage").missing
    assert line == f"stages.pretrain.init_from: no checkpoint {here}/runs/stage{RELATIVE}; is it runs/stage/b/checkpoint?"


def test_another_folder_of_a_path_is_advised_only_if_it_is_used(here: Path) -> None:
    start = "stages.pretrain.init_from"
    (line,) = plan("paths.data=own", f"{start}=own/nowhere", "datasets.own.root=${paths.data}/clips").missing
    assert line.endswith("(expected model.safetensors in it, or a published checkpoint)")
    (line,) = plan("paths.data=own", f"{start}=${{paths.data}}/nowhere").missing
    assert line.endswith("; --set paths.data=FOLDER")


def test_more_workers_than_cores(here: Path) -> None:
    local = (
        "cluster.cpus=2",
        "stages.retrieval.batch_size=6",
        *(f"stages.pretrain.corpora.{i}.batch_size=6" for i in range(2)),
    )
    assert plan(*local, "cluster.workers=2").missing == ()
    assert plan(*local, "cluster.workers=3").missing == (
        "cluster.workers: 3 workers x 1 CPU need 3 cores, but cluster.cpus is 2; lower it to 2, or leave it out",
    )
    assert plan(*local, "stages.test.workers=2", "cluster.cpus_per_worker=2").missing == (
        "stages.test.workers: 2 workers x 2 CPU need 4 cores, but cluster.cpus is 2; lower it to 1, or leave it out",
    )
    assert plan(*local, "cluster.workers=3", "cluster.address=auto").missing == ()
    finish(plan(*local))
    assert plan(*local, "cluster.workers=3").missing == (), "nothing is left to run"
