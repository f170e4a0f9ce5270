"""What runs, what is skipped, and the reasons; fingerprints."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosa.errors import UserError
from tests.workflows.planning.planned import CAPTIONS, SPEC, STAGES, finish, lay_out, plan, publish
from workflows.planning.fingerprint import result_fields
from workflows.planning.plan import Plan
from workflows.spec.stage_kinds import STAGE_KINDS
from workflows.stages.finetune import FinetuneSection


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay_out(tmp_path, monkeypatch)


def reasons(made: Plan) -> dict[str, str]:
    return {step.name: step.reason for step in made.to_run}


def fingerprints(made: Plan) -> dict[str, str | None]:
    return {step.name: step.fingerprint for step in made.steps}


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
            {"retrieval": "spec changed: stages.retrieval.epochs 2.0 -> 3.0", "test": "input changed: retrieval"},
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
                "corpus": "spec changed: stages.corpus.options.images null -> 9 and 1 more",
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
            {
                "made-frames": "spec changed: datasets",
                "pretrain": "input changed: made-frames",
                "retrieval": "input changed: pretrain",
                "test": "input changed: retrieval",
                "captions": "input changed: made-frames, pretrain",
            },
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
    Path("spec.yaml").write_text(yaml.safe_dump({**SPEC, "stages": {**SPEC["stages"], "test": SPEC["stages"]["own-frames"]}}))
    second = plan("stages.own-frames=", "stages.retrieval=")
    assert reasons(second)["test"] == "spec changed: stages.test.kind evaluate -> extract"


def test_change_of_annotations(here: Path) -> None:
    finish(plan())
    Path("own/val.json").write_text(json.dumps(CAPTIONS[:2]))
    changed = reasons(plan())
    assert changed["own-frames"] == "data changed: own/val/captions, own/val/questions"
    assert changed["retrieval"] == "input changed: own-frames"
    assert set(changed) == {"own-frames", "retrieval", "test"}


def test_change_of_clips(here: Path) -> None:
    finish(plan())
    Path("own/clips/v1.mp4").write_text("another")
    assert reasons(plan())["own-frames"] == "data changed: own/clips"


def test_change_of_clips_that_links_lead_to(here: Path) -> None:
    Path("archive").mkdir()
    Path("archive/v9.mp4").write_text("one")
    Path("own/clips/archive").symlink_to(Path("archive").absolute())
    linked = "datasets.own.linked_folders=[archive]"
    finish(plan(linked))
    Path("archive/v9.mp4").write_text("another")
    assert reasons(plan(linked))["own-frames"] == "data changed: own/clips in archive"


def test_change_of_pictures_that_links_lead_to(here: Path) -> None:
    for folder in ("archive", "other"):
        Path(folder).mkdir()
        Path(folder, "v9.jpg").write_text(folder)
    link = Path("pictures/archive")
    link.symlink_to(Path("archive").absolute())
    linked = "datasets.pictures.linked_folders=[archive, other]"
    finish(plan(linked))
    Path("archive/v9.jpg").write_text("another")
    assert reasons(plan(linked))["pretrain"] == "data changed: pictures/root in archive"
    finish(plan(linked))
    link.unlink()
    link.symlink_to(Path("other").absolute())
    assert reasons(plan(linked))["pretrain"] == "data changed: pictures/root"


@pytest.mark.parametrize(
    "override", ["datasets.own.max_pixels=1000", "stages.own-frames.max_frames=9", "stages.own-frames.max_seconds=9"]
)
def test_bounds_may_decide_which_clips_are_left_out(override: str, here: Path) -> None:
    finish(plan())
    assert "own-frames" in reasons(plan(override))


def test_change_of_weights(here: Path) -> None:
    start = "stages.pretrain.init_from=./start"
    Path("start").mkdir()
    Path("start/model.safetensors").write_text("one")
    finish(plan(start))
    Path("start/model.safetensors").write_text("other")
    assert reasons(plan(start))["pretrain"] == "data changed: checkpoint ./start"


def test_change_of_pretrained_encoders(here: Path) -> None:
    files = ("model.vision.pretrained=swin.pth", "model.text.pretrained=bert")
    assert plan(*files).missing == (
        f"model.vision.pretrained: no file {here}/swin.pth",
        f"model.text.pretrained: no folder {here}/bert",
    )
    Path("swin.pth").write_text("one")
    Path("bert").mkdir()
    finish(plan(*files))
    assert plan(*files).to_run == ()
    Path("bert/config.json").write_text("{}")
    assert reasons(plan(*files))["pretrain"] == "data changed: model.text.pretrained"


def test_change_of_the_program(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(plan())
    monkeypatch.setattr(type(STAGE_KINDS["evaluate"]), "version", 2)
    assert reasons(plan()) == dict.fromkeys(("test", "captions"), "program changed: evaluate version 1 -> 2")


def test_forced(here: Path) -> None:
    finish(plan())
    second = plan(force=("retrieval",))
    assert reasons(second) == {"retrieval": "forced", "test": "its input retrieval is forced"}
    with pytest.raises(UserError, match="--force: no stage 'retreival'; did you mean 'retrieval'"):
        plan(force=("retreival",))


def _folder_in_place_of(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe_in_place_of(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGED_MANIFESTS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_text('{"kind": '),
    "something else": lambda path: path.write_text("[]"),
    "of other fields": lambda path: path.write_text('{"fingerprint": 1}'),
    "too deep": lambda path: path.write_text("[" * 100_000),
    "not UTF-8": lambda path: path.write_bytes(b'{"stage": "caf\xe9"}'),
    "a folder": _folder_in_place_of,
    "changed": lambda path: path.write_text(path.read_text().replace('"demo"', '"other"')),
    "a pipe": _pipe_in_place_of,
    "gone": lambda path: path.unlink(),
    "of another result": lambda path: path.write_text(next(path.parents[2].glob("pretrain/*/manifest.json")).read_text()),
}


@pytest.mark.parametrize("name", DAMAGED_MANIFESTS)
def test_a_damaged_result_is_made_again_and_one_of_another_fingerprint_blocks_nothing(name: str, here: Path) -> None:
    finish(plan())
    older = plan()
    (manifest,) = Path("storage/demo/retrieval").glob("*/manifest.json")
    DAMAGED_MANIFESTS[name](manifest)
    again = {step.name: step for step in plan().steps}["retrieval"]
    assert (again.action, again.fingerprint) == ("run", manifest.parent.name)
    assert again.reason.startswith("its result is damaged: ")
    changed = {step.name: step for step in plan("stages.retrieval.epochs=3").steps}["retrieval"]
    assert (changed.action, changed.damaged) == ("run", None)
    assert changed.fingerprint not in {step.fingerprint for step in older.steps}


def test_a_lost_result_is_made_again_without_what_builds_on_it(here: Path) -> None:
    first = plan()
    finish(first)
    shutil.rmtree(first.result_of("retrieval"))
    second = plan()
    assert set(reasons(second)) == {"retrieval"}
    test = next(step for step in second.steps if step.name == "test")
    assert test.reason == "done (its input retrieval gives the same result)"


def test_starting_over_hides_a_result_until_there_is_a_new_one(here: Path) -> None:
    first = plan()
    finish(first)
    step = next(step for step in first.steps if step.name == "retrieval")
    result = first.result_of("retrieval")
    first.storage.start_over("retrieval", str(step.fingerprint))
    assert set(reasons(plan())) == {"retrieval"}
    assert [path.name for path in result.parent.iterdir()] == [f".{result.name}.replaced"]
    publish(first, step)
    assert plan().to_run == ()
    assert list(result.parent.iterdir()) == [result]


def test_interrupted(here: Path) -> None:
    first = plan()
    finish(first, "corpus", "made-frames")
    step = next(step for step in first.steps if step.name == "pretrain")
    first.storage.partial("pretrain", str(step.fingerprint)).mkdir(parents=True)
    again = next(step for step in plan().steps if step.name == "pretrain")
    assert (again.action, again.reason, again.resumes) == ("run", "interrupted: resumes where it stopped", True)
    other = next(step for step in plan("seed=3").steps if step.name == "pretrain")
    assert (other.reason, other.resumes) == ("new", False)


def test_reason_is_reported_against_the_newest_result(here: Path) -> None:
    for epochs in (2, 3):
        made = plan(f"stages.retrieval.epochs={epochs}")
        finish(made)
        old = time.time() - 100 + epochs
        os.utime(made.result_of("retrieval") / "manifest.json", (old, old))
    assert reasons(plan("stages.retrieval.epochs=4"))["retrieval"] == "spec changed: stages.retrieval.epochs 3.0 -> 4.0"


# -- fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    [
        "description=x",
        "cluster={workers: 3, cpus: 2}",
        "cluster.checkpoint_storage=s3://team/unfinished",
        "tracking={uri: http://localhost:1, checkpoints: all}",
        "stages.retrieval.register_as=some-name",
        "stages.retrieval.description=x",
        "stages.retrieval.log_every=1",
        "stages.retrieval.loader_workers=2",
        "stages.retrieval.sharding=fsdp",
        "stages.retrieval.workers=2",
        "stages.retrieval.eval_batch_size=3",
        "stages.retrieval.sweep.max_concurrent=1",
        "stages.test.eval_batch_size=3",
        "stages.test.published={text_to_video_r1: 50}",
        "datasets.unused={media: image, root: x, splits: {}}",
        "datasets.pictures.splits.unused=x.json",
        "datasets.pictures.max_pixels=1000",
        "stages.own-frames.seconds_per_clip=5",
    ],
)
def test_fields_without_effect_run_nothing_again(override: str, here: Path) -> None:
    finish(plan())
    assert plan(override).to_run == ()


def test_what_saves_memory_only_has_no_effect() -> None:
    """A mean of the weights has."""
    plain, saving, averaged = (
        FinetuneSection.model_validate({"kind": "finetune", "task": "captioning", "dataset": "own", "epochs": 1, **fields})
        for fields in ({}, {"accumulate": 4, "sharding": "fsdp"}, {"ema_decay": 0.9})
    )
    assert result_fields(plain) == result_fields(saving) != result_fields(averaged)


def test_unused_split_of_a_made_dataset_concerns_extraction_only(here: Path) -> None:
    before, after = fingerprints(plan()), fingerprints(plan("datasets.made.splits.spare=y.json"))
    assert {name for name in before if before[name] != after[name]} == {
        "made-frames", "pretrain", "retrieval", "test", "captions",
    }  # fmt: skip
    own = {name for name in before if before[name] != fingerprints(plan("datasets.pictures.splits.spare=y.json"))[name]}
    assert own == set()


def shuffled(value: Any, draw: st.DrawFn) -> Any:
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    return value


@st.composite
def reordered(draw: st.DrawFn) -> dict[str, Any]:
    """The same spec with the keys of all mappings in another order."""
    result: dict[str, Any] = shuffled(SPEC, draw)
    return result


@given(reordered())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_keys_does_not_matter(here: Path, spec: dict[str, Any]) -> None:
    Path("spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    expected = fingerprints(plan())
    Path("spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    assert fingerprints(plan()) == expected


def test_writing_out_a_default_does_not_matter(here: Path) -> None:
    assert fingerprints(plan("stages.retrieval.max_text_tokens=40", "seed=50", "model.vision.resolution=224")) == fingerprints(
        plan()
    )


EFFECTS = {
    "stages.corpus.options.seed": "corpus",
    "stages.own-frames.fps": "own-frames",
    "stages.own-frames.jpeg_quality": "own-frames",
    "stages.pretrain.concatenate": "pretrain",
    "stages.pretrain.corpora.0.steps": "pretrain",
    "stages.retrieval.batch_size": "retrieval",
    "stages.retrieval.train_frames": "retrieval",
    "stages.test.beam_size": "test",
}


@given(st.dictionaries(st.sampled_from(sorted(EFFECTS)), st.integers(5, 9), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_change_concerns_its_stage_and_those_after_it(here: Path, values: dict[str, int]) -> None:
    before = plan()
    after = plan("stages.pretrain.corpora.0.batch_size=9", "stages.pretrain.corpora.1.batch_size=9",
                 *(f"{name}={value}" for name, value in values.items()))  # fmt: skip
    expected = {EFFECTS[name] for name in values} | {"pretrain"}
    while True:
        after_them = {name for name, inputs in before.experiment.inputs.items() if expected & set(inputs)}
        if after_them <= expected:
            break
        expected |= after_them
    old, new = fingerprints(before), fingerprints(after)
    # A stage that inherits fields from another changes with it, although its own section stays the same.
    assert {name for name in old if old[name] != new[name]} == expected


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
