"""`matrix:`: which stages it makes, what their fields are, and what of it makes no sense."""

import json
from pathlib import Path

import pytest

from cosa.errors import UserError
from tests.workflows.planning.planned import fingerprints, lay_out, plan
from tests.workflows.spec.test_graph import load
from workflows.planning.plan import make_plan
from workflows.planning.selection import Selection
from workflows.spec.load import load_spec
from workflows.spec.problems import SpecError
from workflows.stages.evaluate import EvaluateSection
from workflows.stages.finetune import FinetuneSection

SPEC = """\
name: demo
datasets:
  one: {media: image, root: a, splits: {train: a.json, test: b.json}}
  two: {media: image, root: b, splits: {train: c.json, test: d.json}}
stages:
  tuned:
    kind: finetune
    matrix: {dataset: [one, two], learning_rate: [1.0e-5, 0.1]}
    task: retrieval
    epochs: 1
    description: "on ${matrix.dataset}"
  test:
    kind: evaluate
    matrix: {dataset: [one, two], rate: [1e-05]}
    checkpoint: "tuned-${matrix.dataset}-${matrix.rate}"
    tasks: [retrieval]
"""


def problems(tmp_path: Path, old: str, new: str) -> list[str]:
    assert old in SPEC
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text=SPEC.replace(old, new))
    return [f"{problem.place}: {problem.message}".removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_every_combination_is_a_stage(tmp_path: Path) -> None:
    experiment = load(tmp_path, text=SPEC)
    tuned = {name: stage for name, stage in experiment.stages.items() if isinstance(stage, FinetuneSection)}
    assert {name: (stage.dataset, stage.learning_rate, stage.description) for name, stage in tuned.items()} == {
        "tuned-one-1e-05": ("one", 1e-5, "on one"),
        "tuned-one-0_1": ("one", 0.1, "on one"),
        "tuned-two-1e-05": ("two", 1e-5, "on two"),
        "tuned-two-0_1": ("two", 0.1, "on two"),
    }
    assert {name: stage.checkpoint for name, stage in experiment.stages.items() if isinstance(stage, EvaluateSection)} == {
        "test-one-1e-05": "tuned-one-1e-05",
        "test-two-1e-05": "tuned-two-1e-05",
    }
    assert experiment.inputs["test-two-1e-05"] == ("tuned-two-1e-05",)


def test_overrides_come_before_it(tmp_path: Path) -> None:
    experiment = load(tmp_path, "stages.tuned.matrix.dataset=[two]", "stages.tuned.epochs=3", "stages.test=", text=SPEC)
    assert set(experiment.stages) == {"tuned-two-1e-05", "tuned-two-0_1"}
    assert all(stage.epochs == 3 for stage in experiment.stages.values() if isinstance(stage, FinetuneSection))


def test_a_single_stage_keeps_its_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a matrix makes is the stage that one would have written."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(name).mkdir()
    for name in ("a.json", "b.json", "c.json", "d.json"):
        Path(name).write_text(json.dumps([{"video_id": "x", "desc": f"of {name}"}]))
    for name in ("a", "b"):
        Path(name, "x.jpg").touch()
    written = "  tuned: {kind: finetune, task: retrieval, epochs: 1, dataset: two, learning_rate: 0.1}\n"
    plain = load(tmp_path, text=SPEC.partition("  tuned:")[0] + written)
    made = make_plan(load(tmp_path, text=SPEC))
    by_name = {step.name: step.fingerprint for step in made.steps}
    assert by_name["tuned-two-0_1"] == make_plan(plain).steps[0].fingerprint
    assert len(set(by_name.values())) == len(by_name)


def test_options_take_the_name_of_the_matrix(tmp_path: Path) -> None:
    experiment = load(tmp_path, text=SPEC)
    assert Selection(only=("tuned",)).stages(experiment) == set(experiment.groups["tuned"])
    assert Selection(until=("test",)).stages(experiment) == {
        "tuned-one-1e-05", "tuned-two-1e-05", "test-one-1e-05", "test-two-1e-05",
    }  # fmt: skip
    with pytest.raises(UserError, match="no stage 'tune'"):
        Selection(only=("tune",)).stages(experiment)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{dataset: [one, two], learning_rate: [1.0e-5, 0.1]}", "one", "spec.yaml:8:13: stages.tuned.matrix: expected lists"),
        ("learning_rate: [1.0e-5, 0.1]", "learning_rate: 0.1", "tuned.matrix.learning_rate: expected a list"),
        ("learning_rate: [1.0e-5, 0.1]", "learning_rate: [[1]]", "matrix.learning_rate: expected a list of single"),
        ("learning_rate: [1.0e-5, 0.1]", "learning_rate: [0.1, 0_1]", "learning_rate: two values give the same stage name"),
        ("learning_rate: [1.0e-5, 0.1]", 'learning_rate: ["${seed}"]', "matrix.learning_rate: stages are named after"),
        ("learning_rate:", "lerning_rate:", "spec.yaml:8:35: stages.tuned.matrix.lerning_rate: is not a field of the stage"),
        ("${matrix.rate}", "${matrix.rat}", "${matrix.rat} is not in its matrix"),
        ("[one, two], learning", "[one, three], learning", "stages.tuned-three-1e-05.dataset: no dataset 'three'"),
        ("rate: [1e-05]", f"rate: [{'x' * 60}]", "is not a valid stage name"),
        ("  test:\n", "  tuned-one-0_1:\n", "there are two stages"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_reported_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    if old == "  test:\n":
        new = "  tuned-one-0_1: {kind: extract, dataset: one}\n" + old
    assert any(said in line for line in problems(tmp_path, old, new)), problems(tmp_path, old, new)


def test_it_is_for_few_stages(tmp_path: Path) -> None:
    many = ", ".join(str(n) for n in range(130))
    assert any("at most 256" in line for line in problems(tmp_path, "learning_rate: [1.0e-5, 0.1]", f"epochs: [{many}]"))


def test_null_is_no_matrix_so_that_a_recorded_spec_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, monkeypatch)
    made = plan()
    stages = {step.name: step.section.model_dump(mode="json") for step in made.steps}
    assert stages["test"]["matrix"] is None
    spec = {**made.experiment.section.model_dump(mode="json"), "stages": stages}
    Path("spec.json").write_text(json.dumps(spec))
    assert fingerprints(make_plan(load_spec(Path("spec.json")))) == fingerprints(made)
