"""Loading: inheritance, overrides, interpolation, validation."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.spec.experiment import Experiment
from workflows.spec.load import load_spec
from workflows.spec.problems import SpecError
from workflows.stages.evaluate import EvaluateSection
from workflows.stages.finetune import FinetuneSection

SPEC = """\
name: demo
paths: {data: "${env:COSA_DATA:-data}", top: "${paths.data}/top"}
datasets:
  clips:
    media: video
    root: ${paths.data}/clips
    splits: {train: "${paths.top}/train.json", val: "${paths.data}/val.json", test: "${paths.data}/test.json"}
stages:
  frames: {kind: extract, dataset: clips}
  retrieval: {kind: finetune, task: retrieval, dataset: clips, epochs: 1, sweep: {learning_rate: [1e-4]}}
  test: {kind: evaluate, checkpoint: retrieval, dataset: "${stages.retrieval.dataset}", tasks: [retrieval]}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def child(spec: Path, text: str) -> Experiment:
    path = spec.with_name("child.yaml")
    path.write_text("extends: spec.yaml\n" + text)
    return load_spec(path, environment={})


def problems(spec: Path, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(spec, overrides, environment={})
    return [problem.message for problem in caught.value.problems]


def test_values_of_the_environment_and_of_other_fields(spec: Path) -> None:
    splits = load_spec(spec, environment={}).section.datasets["clips"].splits
    assert splits["train"].captions == splits["train"].questions == "data/top/train.json"
    moved = load_spec(spec, environment={"COSA_DATA": "/d"}).section.datasets["clips"]
    assert (moved.root, moved.splits["train"].captions) == ("/d/clips", "/d/top/train.json")
    assert load_spec(spec, ["paths.data=e"], environment={}).section.datasets["clips"].root == "e/clips"


def test_a_mapping_can_be_referred_to(spec: Path) -> None:
    experiment = child(spec, "stages: {again: '${stages.retrieval}'}")
    assert experiment.stages["again"] == experiment.stages["retrieval"]


def test_fields_that_are_left_out_are_taken_over(spec: Path) -> None:
    experiment = load_spec(spec, ["stages.retrieval.eval_frames=7", "stages.retrieval.rerank=9"], environment={})
    trained, tested = experiment.stages["retrieval"], experiment.stages["test"]
    assert isinstance(trained, FinetuneSection) and isinstance(tested, EvaluateSection)
    assert (tested.eval_frames, tested.rerank, tested.dataset) == (7, 9, "clips")
    assert trained.validation_split == "val"
    assert trained.sweep is not None and trained.sweep.metric == "text_to_video_r1"


# -- removing ---------------------------------------------------------------------------------------------------------


def test_child_removes_a_stage_a_dataset_and_a_section(spec: Path) -> None:
    text = """
datasets: {clips: {frames: f, splits: {test: ~}}, other: {media: image, root: x, splits: {}}}
stages: {frames: ~, test: {split: val}, retrieval: {sweep: ~}}
"""
    experiment = child(spec, text)
    assert list(experiment.stages) == ["retrieval", "test"]
    assert set(experiment.section.datasets["clips"].splits) == {"train", "val"}
    trained = experiment.stages["retrieval"]
    assert isinstance(trained, FinetuneSection) and trained.sweep is None
    grandchild = spec.with_name("grandchild.yaml")
    grandchild.write_text("extends: child.yaml\ndatasets: {other: ~}\n")
    assert list(load_spec(grandchild, environment={}).section.datasets) == ["clips"]


@pytest.mark.parametrize("value", ["", "~", "null"])
def test_override_removes(spec: Path, value: str) -> None:
    experiment = load_spec(spec, [f"stages.test={value}", f"stages.retrieval.sweep={value}"], environment={})
    assert "test" not in experiment.stages
    assert experiment.stages["retrieval"].model_dump()["sweep"] is None


def test_null_keeps_meaning_none_for_a_single_value(spec: Path) -> None:
    text = "stages: {retrieval: {resolution: 64, description: x}}"
    assert child(spec, text).stages["retrieval"].model_dump()["resolution"] == 64
    assert (
        load_spec(spec, ["stages.retrieval.resolution="], environment={}).stages["retrieval"].model_dump()["resolution"] is None
    )


def test_first_of_several_parents_can_lose_a_stage_to_the_second(spec: Path) -> None:
    spec.with_name("less.yaml").write_text("stages: {test: ~}\n")
    both = spec.with_name("both.yaml")
    both.write_text("extends: [spec.yaml, less.yaml]\nname: both\n")
    assert list(load_spec(both, environment={}).stages) == ["frames", "retrieval"]


def test_a_plain_path_takes_references(spec: Path) -> None:
    for experiment in (
        child(spec, "datasets: {clips: {splits: {test: {references: r.json}}}}"),
        load_spec(spec, ["datasets.clips.splits.test.references=r.json"], environment={}),
    ):
        split = experiment.section.datasets["clips"].splits["test"]
        assert split.model_dump() == {"captions": "data/test.json", "questions": "data/test.json", "references": "r.json"}


# -- overrides --------------------------------------------------------------------------------------------------------


def test_overrides_of_lists_and_new_entries(spec: Path) -> None:
    experiment = load_spec(
        spec,
        [
            "stages.test.tasks.0=captioning",
            "stages.retrieval.sweep.learning_rate=[1e-5, 2e-5]",
            "stages.again.kind=evaluate",
            "stages.again.checkpoint=retrieval",
            "stages.again.dataset=clips",
            "stages.again.tasks=[retrieval]",
            "datasets.pictures={media: image, root: x, splits: {}}",
            "datasets.clips.splits.extra=e.json",
        ],
        environment={},
    )
    assert experiment.stages["test"].model_dump()["tasks"] == ("captioning",)
    assert experiment.stages["retrieval"].model_dump()["sweep"]["learning_rate"] == (1e-5, 2e-5)
    assert experiment.stages["again"].kind == "evaluate"
    assert set(experiment.section.datasets) == {"clips", "pictures"}
    assert experiment.section.datasets["clips"].splits["extra"].captions == "e.json"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stages.retrievel.epochs=2"], "no stage 'retrievel'; did you mean 'retrieval'?"),
        (["stages.retrievel.epochs=2", "stages.retrievel.rerank=2"], "no stage 'retrievel'; did you mean 'retrieval'?"),
        (["stages.tests="], "no stage 'tests'; did you mean 'test'?"),
        (["datasets.clip.frames=x"], "no dataset 'clip'; did you mean 'clips'?"),
        (["paths.dat=x"], "no path 'dat'; did you mean 'data'?"),
        (["stages..epochs=1"], "expected NAME=VALUE, such as stages.retrieval.epochs=2"),
        (["=1"], "expected NAME=VALUE, such as stages.retrieval.epochs=2"),
        (["stages.test.tasks.-1=x"], "stages.test.tasks is a list of 1; '-1' is not an index in it"),
    ],
)
def test_override_of_something_that_is_not_there(spec: Path, overrides: list[str], message: str) -> None:
    assert set(problems(spec, *overrides)) == {message}


def test_all_wrong_overrides_are_reported_at_once(spec: Path) -> None:
    assert len(problems(spec, "stages.tets.split=x", "datasets.clip.frames=x", "x")) == 3


def test_new_path_that_the_spec_refers_to(spec: Path) -> None:
    experiment = load_spec(spec, ["paths.new=n", "datasets.clips.root=${paths.new}/c"], environment={})
    assert experiment.section.datasets["clips"].root == "n/c"


# -- references -------------------------------------------------------------------------------------------------------


def test_every_wrong_reference_is_reported_once(spec: Path) -> None:
    assert problems(spec, "stages.retrieval.dataset=clip", "stages.test.tasks=[retrieval, captioning]") == [
        "stages.retrieval.dataset: no dataset 'clip'; did you mean 'clips'?"
    ]
    spec.write_text(SPEC.replace("${env:COSA_DATA:-data}", "${env:COSA_DATA}"))
    assert problems(spec) == ["environment variable COSA_DATA is not set; set it, or write ${env:COSA_DATA:-default}"]


@pytest.mark.parametrize("text", ["${paths.data", "a/${", "${paths.${name}}", "${env:NOT_SET:-${paths.data}}"])
def test_references_that_would_stay_as_they_are(spec: Path, text: str) -> None:
    spec.write_text(SPEC.replace("${paths.data}/clips", f"'{text}'"))
    assert any("expected } behind ${ and the name" in problem for problem in problems(spec))


def test_a_value_of_the_environment_may_look_like_a_reference(spec: Path) -> None:
    experiment = load_spec(spec, ["description=${env:ODD}"], environment={"ODD": "${x"})
    assert experiment.section.description == "${x"


def test_problems_stand_in_the_order_of_the_lines(spec: Path) -> None:
    spec.write_text(SPEC.replace("epochs: 1", "epochs: x").replace("media: video", "media: film").replace("demo", "a b"))
    with pytest.raises(SpecError) as caught:
        load_spec(spec, environment={})
    lines = [problem.place.line for problem in caught.value.problems if problem.place is not None]
    assert lines == sorted(lines) and len(lines) == 3


# -- anything ---------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["clips", "test", "retrieval", "a/b", "${name}", "${x.y}"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["kind", "dataset", "clips", "splits", "train", "a.b", "sweep"]), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        "name",
        "stages",
        "datasets",
        "paths",
        "model",
        "extends",
        "cluster",
        "datasets.clips",
        "datasets.clips.splits",
        "datasets.clips.splits.test",
        "stages.test",
        "stages.test.tasks",
        "stages.test.kind",
        "stages.test.published",
        "stages.retrieval.sweep",
        "stages.retrieval.betas",
        "stages.frames.dataset",
        "stages.new",
        "model.vision.depth",
    ]
)


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_override_is_taken_or_refused_with_a_message(spec: Path, overrides: list[tuple[str, Any]]) -> None:
    texts = [
        f"{name}={yaml.safe_dump(value, default_flow_style=True, width=1000).splitlines()[0]}" for name, value in overrides
    ]
    try:
        experiment = load_spec(spec, texts, environment={})
    except SpecError as error:
        assert all(problem.message for problem in error.problems)
    else:
        assert experiment.stages
