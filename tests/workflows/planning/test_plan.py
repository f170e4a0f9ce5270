"""What runs, what is skipped, and the reasons."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflows.planning.planned import CAPTIONS, SPEC, STAGES, fingerprints, finish, lay_out, plan, reasons
from workflows.spec.stage_kinds import STAGE_KINDS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


# -- run, skip, and why -----------------------------------------------------------------------------------------------


def test_all_stages_are_new_at_first_and_done_afterwards(here: Path) -> None:
    first = plan()
    assert {step.name for step in first.steps} == set(STAGES)
    assert set(reasons(first).values()) == {"new"}
    assert first.missing == ()
    finish(first)
    second = plan()
    assert second.to_run == ()
    assert {step.reason for step in second.steps} == {"done"}
    assert fingerprints(second) == fingerprints(first)
    assert (second.result_of("pretrain") / "manifest.json").is_file()


def test_only_what_is_left_runs(here: Path) -> None:
    finish(plan(), "corpus", "made-frames", "pretrain")
    assert reasons(plan()) == dict.fromkeys(("own-frames", "retrieval", "test", "captions"), "new")


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("stages.test.rerank=3", {"test": "spec changed: stages.test.rerank 50 -> 3"}),
        (
            "stages.retrieval.epochs=3",
            {"retrieval": "spec changed: stages.retrieval.epochs 2 -> 3", "test": "input changed: retrieval"},
        ),
        (
            "stages.retrieval.sweep.learning_rate=[0.0001]",
            {
                "retrieval": "spec changed: stages.retrieval.sweep.learning_rate [0.0001, 0.001] -> [0.0001]",
                "test": "input changed: retrieval",
            },
        ),
        (
            "stages.corpus.options={images: 9, seed: 1}",
            {
                "corpus": "spec changed: stages.corpus.options.images null -> 9",
                "made-frames": "input changed: corpus",
                "pretrain": "input changed: corpus, made-frames",
                "retrieval": "input changed: pretrain",
                "test": "input changed: retrieval",
                "captions": "input changed: corpus, made-frames, pretrain",
            },
        ),
        (
            "model.contrastive_dim=32",
            {
                "pretrain": "spec changed: model.contrastive_dim 64 -> 32",
                "retrieval": "input changed: pretrain",
                "test": "input changed: retrieval",
                "captions": "input changed: pretrain",
            },
        ),
        ("seed=1", dict.fromkeys(("pretrain", "retrieval", "test", "captions"), "spec changed: seed 50 -> 1")),
        (
            "datasets.made.splits.test.captions=c.json",
            {"made-frames": "spec changed: datasets", "captions": "input changed: made-frames"},
        ),
        ("datasets.made.splits.test.references=c.json", {"captions": "spec changed: datasets"}),
    ],
)
def test_change_of_the_spec(override: str, changed: dict[str, str], here: Path) -> None:
    finish(plan())
    assert reasons(plan(override)) == changed
    assert plan().to_run == ()  # going back needs nothing


def test_change_of_the_kind(here: Path) -> None:
    finish(plan())
    extract = {**SPEC["stages"]["own-frames"], "fps": 2}
    Path("spec.yaml").write_text(yaml.safe_dump({**SPEC, "stages": {**SPEC["stages"], "test": extract}}))
    second = plan("stages.own-frames=", "stages.retrieval=")
    assert reasons(second)["test"] == "spec changed: stages.test.kind evaluate -> extract"


def test_change_of_annotations(here: Path) -> None:
    finish(plan())
    Path("own/val.json").write_text(json.dumps([*CAPTIONS[:2], {**CAPTIONS[2], "desc": "another"}]))
    changed = {"retrieval": "data changed: own/val.json", "test": "input changed: retrieval"}
    assert reasons(plan()) == changed
    Path("own/val.json").write_text(json.dumps(CAPTIONS[:2]))  # The clip is still named by other splits.
    assert reasons(plan()) == {**changed, "retrieval": "data changed: own/val.json (3 captions -> 2 captions)"}
    Path("own/val.json").write_text(json.dumps([{**entry, "source": "a note"} for entry in CAPTIONS], indent=4))
    assert reasons(plan()) == {}


def test_what_is_newly_read_has_not_changed(here: Path) -> None:
    finish(plan())
    [step] = plan("stages.test.tasks=[captioning]").to_run
    [data] = [change for change in step.changes if change.startswith("data changed: ")]
    assert "own/train.json (newly read)" in data


def test_a_clip_is_added(here: Path) -> None:
    finish(plan())
    Path("own/clips/v3.mp4").write_text("one more")
    assert reasons(plan()) == {}
    Path("own/spare.json").write_text(json.dumps([*CAPTIONS, {"video_id": "v3", "desc": "one more"}]))
    assert reasons(plan()) == {"own-frames": "data changed: own/clips (3 clips -> 4 clips)"}
    done = {step.name: step.reason for step in plan().steps if step.action == "skip"}
    assert done["retrieval"] == "done (its input own-frames gives the same result)"
    retrieval = next(step for step in plan("stages.retrieval.epochs=4").steps if step.name == "retrieval")
    assert retrieval.changes == ("spec changed: stages.retrieval.epochs 2 -> 4",), "what made no difference is no reason"
    Path("own/val.json").write_text(json.dumps(CAPTIONS[:2]))
    retrieval = next(step for step in plan("stages.retrieval.epochs=4").steps if step.name == "retrieval")
    assert [change.partition(":")[0] for change in retrieval.changes] == ["spec changed", "input changed", "data changed"]


def test_change_of_clips(here: Path) -> None:
    finish(plan())
    Path("own/clips/v1.mp4").write_text("another")
    changed = reasons(plan())
    assert changed["own-frames"] == "data changed: own/clips"
    assert changed["retrieval"] == "input changed: own-frames"
    assert set(changed) == {"own-frames", "retrieval", "test"}


def test_change_of_clips_that_links_lead_to(here: Path) -> None:
    Path("archive").mkdir()
    Path("archive/v9.mp4").write_text("one")
    Path("own/clips/archive").symlink_to(Path("archive").absolute())
    Path("own/spare.json").write_text(json.dumps([{"video_id": "archive/v9", "desc": "far away"}]))
    linked = "datasets.own.linked_folders=[archive]"
    finish(plan(linked))
    Path("archive/v9.mp4").write_text("another")
    assert reasons(plan(linked))["own-frames"] == "data changed: own/clips"


def test_change_of_pictures_that_links_lead_to(here: Path) -> None:
    for folder in ("archive", "other"):
        Path(folder).mkdir()
        Path(folder, "v9.jpg").write_text(folder)
    link = Path("pictures/archive")
    link.symlink_to(Path("archive").absolute())
    Path("own/train.json").write_text(json.dumps([*CAPTIONS, {"video_id": "archive/v9", "desc": "far away"}]))
    Path("own/clips/archive").mkdir()
    Path("own/clips/archive/v9.mp4").touch()
    linked = "datasets.pictures.linked_folders=[archive, other]"
    finish(plan(linked))
    Path("archive/v9.jpg").write_text("another")
    assert reasons(plan(linked))["pretrain"] == "data changed: pictures"
    finish(plan(linked))
    link.unlink()
    link.symlink_to(Path("other").absolute())
    assert reasons(plan(linked))["pretrain"] == "data changed: pictures"


@pytest.mark.parametrize(
    "override", ["datasets.own.max_pixels=1000", "stages.own-frames.max_frames=9", "stages.own-frames.max_seconds=9"]
)
def test_bounds_may_decide_which_clips_are_left_out(override: str, here: Path) -> None:
    finish(plan())
    assert "own-frames" in reasons(plan(override))


@pytest.mark.parametrize(
    ("before", "overrides", "is_same"),
    [
        ((), ("max_seconds=9",), True),
        ((), ("max_seconds=9", "max_frames=9"), True),
        ((), ("max_unreadable=1",), True),
        ((), ("max_seconds=9", "max_unreadable=1"), False),  # A clip may be left out now.
        (("max_unreadable=1",), ("max_seconds=7200",), False),  # A clip that was left out may pass now.
        (("max_seconds=7200", "max_unreadable=1"), ("max_seconds=7200",), True),
    ],
)
def test_bounds_that_all_clips_pass_change_no_frames(
    before: tuple[str, ...], overrides: tuple[str, ...], is_same: bool, here: Path
) -> None:
    def planned(fields: tuple[str, ...]) -> dict[str, str | None]:
        return fingerprints(plan(*(f"stages.own-frames.{field}" for field in fields)))

    assert planned(before)["own-frames"] != planned(overrides)["own-frames"]
    assert (planned(before)["retrieval"] == planned(overrides)["retrieval"]) == is_same


def test_change_of_weights(here: Path) -> None:
    start = "stages.pretrain.init_from=./start"
    Path("start").mkdir()
    Path("start/model.safetensors").write_text("one")
    finish(plan(start))
    Path("start/model.safetensors").write_text("other")
    assert reasons(plan(start))["pretrain"] == "data changed: checkpoint ./start"
    finish(plan(start))
    Path("start/config.json").write_text("{}")  # The same weights of another model.
    assert reasons(plan(start))["pretrain"] == "data changed: checkpoint ./start"


def test_change_of_pretrained_encoders(here: Path) -> None:
    files = ("model.vision.pretrained=swin.pth", "model.text.pretrained=bert")
    assert plan(*files).missing == (
        f"model.vision.pretrained: no file {here}/swin.pth, given relative to the working directory",
        f"model.text.pretrained: no folder {here}/bert, given relative to the working directory",
    )
    Path("swin.pth").write_text("one")
    Path("bert").mkdir()
    finish(plan(*files))
    assert plan(*files).to_run == ()
    Path("bert/config.json").write_text("{}")
    assert reasons(plan(*files))["pretrain"] == "data changed: model.text.pretrained"
    finish(plan(*files))
    Path("swin.pth").rename("moved.pth")
    assert plan("model.vision.pretrained=moved.pth", files[1]).to_run == ()
    assert reasons(plan(files[1]))["pretrain"] == 'spec changed: model.vision.pretrained "swin.pth" -> false'


def test_change_of_the_program(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(plan())
    monkeypatch.setattr(type(STAGE_KINDS["evaluate"]), "version", 2)
    assert reasons(plan()) == dict.fromkeys(("test", "captions"), "program changed: evaluate version 1 -> 2")


def finish_in_turn(*variants: tuple[str, ...]) -> None:
    """Leave results of several variants behind, the last one as the newest."""
    for age, overrides in enumerate(variants):
        made = plan(*overrides)
        new = [made.storage.result(step.name, str(step.fingerprint)) for step in made.to_run]
        finish(made)
        for result in new:
            os.utime(result / "manifest.json", (1000 + age, 1000 + age))


def test_of_results_that_differ_equally_the_newest_is_compared_with(here: Path) -> None:
    finish_in_turn(("stages.retrieval.epochs=2",), ("stages.retrieval.epochs=3",))
    assert reasons(plan("stages.retrieval.epochs=4"))["retrieval"] == "spec changed: stages.retrieval.epochs 3 -> 4"


def test_the_result_that_differs_least_is_compared_with(here: Path) -> None:
    """Not the newest, which other values were tried for: they are not in the spec."""
    finish_in_turn((), ("seed=7", "stages.retrieval.epochs=3"))
    assert reasons(plan("stages.retrieval.batch_size=3"))["retrieval"] == "spec changed: stages.retrieval.batch_size 2 -> 3"
    Path("own/val.json").write_text(json.dumps([*CAPTIONS[:2], {**CAPTIONS[2], "desc": "another"}]))
    assert reasons(plan()) == {"retrieval": "data changed: own/val.json", "test": "input changed: retrieval"}


# -- purity -----------------------------------------------------------------------------------------------------------


def test_planning_imports_nothing_heavy(here: Path) -> None:
    code = """
import sys
from pathlib import Path
from workflows.planning.plan import check_annotations, make_plan
from workflows.spec.load import load_spec
plan = make_plan(load_spec(Path("spec.yaml"), [], {}))
check_annotations(plan)
heavy = {"torch", "torchvision", "ray", "mlflow", "transformers", "timm", "av", "pandas"} & set(sys.modules)
sys.exit(f"imported: {sorted(heavy)}" if heavy or len(plan.steps) != 7 else 0)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_planning_looks_at_no_extracted_frame_and_reads_none_of_the_users_own_twice(here: Path) -> None:
    """Extracted frames cost a plan nothing, whatever their number; images and frames of the user's own one question each."""
    code = """
import os, sys
from pathlib import Path
asked = 0
def counted(original):
    def ask(*arguments, **keywords):
        global asked
        asked += 1
        return original(*arguments, **keywords)
    return ask
for name in ("stat", "lstat", "scandir", "listdir", "open"):
    setattr(os, name, counted(getattr(os, name)))
def read(path):
    raise AssertionError(f"{path} was read")
from workflows.planning.plan import check_annotations, make_plan
from workflows.spec.load import load_spec
asked = 0
if len(sys.argv) > 1:
    import workflows.planning.digests
    workflows.planning.digests.digest_of = read
check_annotations(make_plan(load_spec(Path("spec.yaml"), ["datasets.own.frames=own/frames", "stages.own-frames="], {})))
print(asked)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}

    def asked(*arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def add_pictures(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(200):
            (folder / f"{number}.jpg").touch()

    own = [Path("own/frames/v0"), Path("pictures")]
    for folder in own:
        folder.mkdir(parents=True, exist_ok=True)
    finish(plan(), "corpus", "made-frames")
    asked()
    few = asked("read nothing")
    add_pictures(plan().result_of("made-frames") / "frames" / "v0")
    assert asked("read nothing") == few > 0
    for folder in own:
        add_pictures(folder)
    asked()
    assert asked("read nothing") <= few + 2 * 200
