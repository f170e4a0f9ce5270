"""What has to be provided before an experiment can run."""

import json
import os
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import CAPTIONS, finish, lay_out, plan, reasons
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
    assert made.missing == (
        "own/spare.json, line 1: no clip 'v1' in own/clips; is it 'V_1'?",
        "own/spare.json, line 1: no clip 'v2' in own/clips",
    )
    assert {step.name: step.reason for step in made.steps if step.action == "blocked"} == {
        "own-frames": "missing: 2 of 3 clips ('v1', 'v2')",
        "retrieval": "needs own-frames",
        "test": "needs own-frames, retrieval",
    }
    assert plan("stages.own-frames.max_unreadable=2").missing == ()


def test_identifiers_that_begin_with_the_folder(here: Path) -> None:
    Path("own/spare.json").write_text(json.dumps([{"video_id": "clips/v1.mp4", "desc": "x"}]))
    assert plan().missing[0] == (
        "own/spare.json, line 1: own/clips/clips is missing or not a folder; expected a folder of videos; identifiers start "
        "below own/clips: is it 'v1.mp4'?"
    )


def test_images_and_own_frames_that_annotations_name_and_nobody_has(here: Path) -> None:
    Path("pictures/v1.jpg").unlink()
    frames = ("datasets.own.frames=own/frames", "stages.own-frames=")
    for clip in ("v0", "v2"):
        Path("own/frames", clip).mkdir(parents=True)
        Path("own/frames", clip, "frame_0001.jpg").touch()
    made = plan(*frames)
    assert made.missing == (
        "own/train.json, line 1: no image 'v1' in pictures",
        "own/train.json, line 1: no folder of frames of clip 'v1' in own/frames",
    )
    assert "missing: 1 of 3 images ('v1')" in reasons(made).values()
    Path("pictures/v1.jpg").touch()
    finish(plan(*frames), "pretrain")
    made = plan(*frames)
    assert "missing: frames of 1 of 3 clips ('v1')" in reasons(made).values()


def test_a_folder_without_any_of_the_clips_is_one_line(here: Path) -> None:
    for clip in Path("own/clips").iterdir():
        clip.unlink()
    assert plan().missing == (
        "datasets.own.root: own/clips has none of the 3 clips that the annotations name, such as 'v0' (own/spare.json, line 1)",
    )


def test_many_missing_clips_are_counted(here: Path) -> None:
    clips = [{"video_id": f"x{i}", "desc": "x"} for i in range(14)]
    Path("own/train.json").write_text("[" + ",\n".join(map(json.dumps, CAPTIONS + clips)) + "]")
    lines = [line for line in plan().missing if "clip" in line]
    assert lines[0] == "own/train.json, line 4: no clip 'x0' in own/clips"
    assert lines[10:] == ["datasets.own.root: 4 more clips are missing"]


@pytest.mark.parametrize(("folder", "suffixes"), [("own/clips", ("mp4", "mkv")), ("pictures", ("jpg", "png"))])
def test_a_clip_or_image_with_two_files(here: Path, folder: str, suffixes: tuple[str, str]) -> None:
    Path(f"{folder}/v1.{suffixes[1]}").write_text("another one")
    files = ", ".join(sorted(f"v1.{suffix}" for suffix in suffixes))
    (line,) = plan().missing
    assert line.endswith(
        f", line 1: 'v1' has 2 files in {folder}: {files}; remove all but one, or write the suffix in the annotations, too"
    )
    for split in ("train", "val", "spare"):
        path = Path(f"own/{split}.json")
        path.write_text(path.read_text().replace('"v1"', f'"v1.{suffixes[0]}"'))
    assert not any("has 2 files" in line for line in plan().missing)


@pytest.mark.parametrize("given", ["run", "run/checkpoint/ckpt", "run/checkpoint/model"])
def test_a_checkpoint_one_level_off(here: Path, given: str) -> None:
    Path("run/checkpoint").mkdir(parents=True)
    Path("run/checkpoint/model.safetensors").touch()
    (line,) = plan(f"stages.pretrain.init_from=./{given}").missing
    assert line == f"stages.pretrain.init_from: no checkpoint {here}/{given}{RELATIVE}; is it run/checkpoint?"


def test_the_folder_of_a_stage_of_this_spec(here: Path) -> None:
    """Its newest result may be that of another spec."""
    (line,) = plan("stages.test.checkpoint=storage/demo/retrieval").missing
    assert line.endswith("; write retrieval alone, which stands for the result that this spec has")


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
