"""The `sweep:` section: which fields and values it takes."""

from pathlib import Path

import pytest

from tests.workflows.spec.test_graph import SPEC, load, problems
from workflows.spec.problems import SpecError
from workflows.spec.sweep import Draw, sweep_with_effect
from workflows.stages.finetune import FinetuneSection
from workflows.stages.pretrain import PretrainSection


def sweep(tmp_path: Path, text: str) -> FinetuneSection:
    stage = load(tmp_path, f"stages.captioning.sweep={{{text}}}").stages["captioning"]
    assert isinstance(stage, FinetuneSection)
    return stage


def test_lists_and_ranges(tmp_path: Path) -> None:
    stage = sweep(
        tmp_path,
        "learning_rate: {loguniform: [1e-5, 1e-3]}, batch_size: [32, 64], warmup_ratio: {uniform: [0, 0.5]}, "
        "train_frames: {integers: [1, 8]}, search: random, trials: 5",
    )
    assert stage.sweep is not None
    assert dict(stage.sweep.fields) == {
        "learning_rate": Draw(loguniform=(1e-5, 1e-3)),
        "batch_size": (32, 64),
        "warmup_ratio": Draw(uniform=(0, 0.5)),
        "train_frames": Draw(integers=(1, 8)),
    }
    assert (stage.sweep.search, stage.sweep.trials, stage.sweep.metric) == ("random", 5, "cider")
    assert stage.model_dump(mode="json")["sweep"]["batch_size"] == [32, 64]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metric: cider", "sweep: expected a field of the stage with values to try"),
        ("learning_rat: [1e-4]", "sweep.learning_rat: no field of this stage; did you mean 'learning_rate'?"),
        ("learning_rate: [1e-4], metrc: [cider]", "sweep.metrc: no field of this stage; did you mean 'metric'?"),
        ("learning_rate: [1e-4, -1]", "sweep.learning_rate: -1 is not a valid value: Input should be greater than 0"),
        ("batch_size: [1.5]", "sweep.batch_size: 1.5 is not a valid value"),
        ("batch_size: {uniform: [1, 3.5]}, search: random, trials: 2", "sweep.batch_size: 3.5 is not a valid value"),
        ('"1.²": []', "sweep: 1.²: expected at least one value"),
        ("learning_rate: []", "learning_rate: expected at least one value"),
        ("learning_rate: [1e-4, 0.0001]", "learning_rate: the same value is listed twice"),
        ("learning_rate: {uniform: [1e-5, 1e-3]}", "learning_rate: a grid needs a list of values; a range needs search"),
        ("learning_rate: {uniform: [1e-3, 1e-5]}, search: random, trials: 2", "expected the lower end first"),
        ("learning_rate: {normal: [1e-3, 1e-5]}, search: random, trials: 2", "normal: unknown field"),
        ("learning_rate: {uniform: [0.1, 1], integers: [1, 2]}, search: random, trials: 2", "expected one of uniform"),
        ("learning_rate: [1e-4], trials: 3", "trials: leave it out: a grid has one for every combination"),
        ("learning_rate: [1e-4], search: optuna", "trials: set how many are drawn"),
        ("dataset: [made, own]", "sweep.dataset: trials cannot differ in it; `matrix:` makes stages that can"),
        ("learning_rate: 1e-4", "sweep.learning_rate"),
        ("batch_size: {uniform: [8, 64]}, search: random, trials: 2", "sweep.batch_size: 36.5 is not a valid value"),
        ("self_critical: [false, true], accumulate: [1, 2]", "a trial with self_critical: true, accumulate: 2: accumulate:"),
        ("soft_accuracy: [true, false]", "a trial with soft_accuracy: true: soft_accuracy: it belongs to question_answering"),
        ("evaluations_per_run: [0, 2]", "sweep: trials are compared by their validations; set stages.captioning."),
        ("evaluations_per_run: [2, 4], scheduler: asha", "evaluations_per_run: asha compares trials after equally many"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, f"stages.captioning.sweep={{{text}}}")
    assert any(said in problem for problem in found), found


def test_a_grid_has_few_trials(tmp_path: Path) -> None:
    hundred, ten = [list(range(1, 1 + count)) for count in (100, 10)]
    stage = sweep(tmp_path, f"batch_size: {hundred}, train_frames: {ten}")
    assert stage.sweep is not None
    assert len(stage.sweep.fields["batch_size"]) == 100  # type: ignore[arg-type]
    said = "stages.captioning.sweep: the grid has 10000 trials; at most 1000: list fewer values, or draw combinations with"
    text = SPEC.replace("train_frames: 2", f"sweep: {{batch_size: {hundred}, train_frames: {hundred}}}")
    with pytest.raises(SpecError) as refused:
        load(tmp_path, text=text)
    assert f"spec.yaml:7:104: {said} search: random and trials: N" in str(refused.value)
    found = problems(tmp_path, f"stages.captioning.sweep={{{', '.join(f'f{i}: [1, 2]' for i in range(1000))}}}")
    assert any("the grid has far too many trials" in problem for problem in found), found


def test_pretraining_is_swept_by_its_loss(tmp_path: Path) -> None:
    stage = load(tmp_path, "stages.pretrain.sweep={learning_rate: [1e-4, 1e-3]}").stages["pretrain"]
    assert isinstance(stage, PretrainSection)
    assert stage.sweep is not None
    assert (stage.sweep.metric, stage.sweep.mode) == ("mean_loss", "min")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concatenate: [1, 2]", "sweep.concatenate: losses of trials that differ in it cannot be compared; compare"),
        ("mlm_probability: [0.1, 0.2]", "sweep.mlm_probability: losses of trials that differ in it cannot be compared"),
        ("learning_rate: [1e-4], metric: cider", "validation of pretraining computes no metric 'cider'"),
        ("learning_rate: [1e-4], mode: max", "mode: the best mean_loss is the lowest one; write mode: min"),
    ],
)
def test_what_makes_no_sense_in_pretraining(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, f"stages.pretrain.sweep={{{text}}}")
    assert any(said in problem for problem in found), found


def test_the_mode_follows_from_the_metric(tmp_path: Path) -> None:
    named = sweep(tmp_path, "learning_rate: [1e-4, 1e-3]")
    assert named.sweep is not None
    assert named.sweep.mode == "max"


def test_the_order_of_a_grid_has_no_effect_unless_trials_are_drawn_or_stopped() -> None:
    grid = {
        "search": "grid",
        "scheduler": "none",
        "max_concurrent": 1,
        "learning_rate": [1e-3, 1e-5, 1e-4],
        "compile": [True, None],
    }
    assert sweep_with_effect(grid) == {
        "search": "grid", "scheduler": "none", "learning_rate": [1e-5, 1e-4, 1e-3], "compile": [None, True],
    }  # fmt: skip
    for change in ({"scheduler": "asha"}, {"search": "random"}, {"search": "optuna"}):
        assert sweep_with_effect({**grid, **change})["learning_rate"] == grid["learning_rate"]
